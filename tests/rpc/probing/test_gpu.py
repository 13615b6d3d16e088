"""GPUs of boards: which are used, and what the others are told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from intbert.rpc.devices.adding import choose
from intbert.rpc.probing import parse_report
from intbert.rpc.probing.facts import BoardFacts, CudaFacts
from intbert.rpc.probing.gpu import driver_release, gpu_problem, usable_gpu

from .reports import BOARDS, jetson_orin, report_of, rpi4, x86_server


def facts_of(values: dict[str, str]) -> BoardFacts:
    return parse_report(report_of(values))


def orin_with_jetpack_7() -> dict[str, str]:
    return {
        **jetson_orin(),
        "l4t": "# R38 (release), REVISION: 4.0, GCID: 1, BOARD: generic, EABI: aarch64",
        "nvidia_jetpack": "7.1-b1",
        "cuda_version": '{ "cuda_cudart" : { "name" : "CUDA Runtime (cudart)", "version" : "13.0.48" } }',
    }


@pytest.mark.parametrize(
    ("values", "target", "reason"),
    [
        pytest.param(orin_with_jetpack_7(), "jetson-orin", "compute capability 8.7, as jetson-orin", id="jetpack-7"),
        pytest.param(
            {**x86_server(), "cudart": "/usr/local/cuda-13.0/lib64/libcudart.so.13.0.96"},
            "cuda-sm90",
            "compute capability 9.0, as cuda-sm90",
            id="server",
        ),
        pytest.param(
            jetson_orin(),
            "jetson-orin-cpu",
            "its GPU is not used: TVM's runtime from PyPI needs CUDA 13, this machine has CUDA 12.2 (JetPack 6.0); "
            "update to JetPack 7, or build TVM's runtime for it (docs/jetson.md)",
            id="jetpack-6",
        ),
        pytest.param(
            BOARDS["jetson-xavier-nx"](),
            "jetson-xavier-cpu",
            "does not know compute capability 7.2; use its CPU, or build TVM's runtime for it (docs/jetson.md)",
            id="xavier",
        ),
        pytest.param(
            x86_server(),
            "x86-64-v4",
            "needs CUDA 13, this machine has CUDA 12.4; install a driver and a toolkit of CUDA 13",
            id="server-with-cuda-12",
        ),
    ],
)
def test_preset_and_what_is_told(values: dict[str, str], target: str, reason: str):
    choice = choose(facts_of(values))
    assert choice.target.name == target
    assert reason in choice.reason


def test_a_board_without_a_gpu_is_told_nothing():
    facts = facts_of(rpi4())
    assert (usable_gpu(facts), gpu_problem(facts)) == (None, None)
    assert "GPU" not in choose(facts).reason


@pytest.mark.parametrize(
    ("cuda", "problem"),
    [
        (CudaFacts("card", (8, 9), "580.1", (13, 0), None, None), None),
        (CudaFacts("card", None, "470.1", (13, 0), None, None), "update the driver to 510"),
        (CudaFacts("card", (8, 9), "580.1", None, None, None), "has no CUDA runtime; install a driver and a toolkit"),
        (CudaFacts(None, (8, 7), None, None, "36.3.0", None), r"no CUDA runtime \(JetPack 6\); update to JetPack 7"),
        (CudaFacts(None, (11, 0), None, None, "38.2.0", None), r"\(JetPack 7\); `sudo apt install nvidia-jetpack`"),
        (CudaFacts(None, (8, 7), None, (12, 6), "odd", None), "has CUDA 12.6; update to JetPack 7"),
        (CudaFacts(None, (5, 3), None, (10, 2), "32.7.1", None), r"does not know compute capability 5\.3"),
        (
            CudaFacts("card", (8, 9), "550.1", (13, 0), None, None, (12, 4)),
            "has a driver of CUDA 12.4; install a driver",
        ),
        (
            CudaFacts(None, (8, 7), None, (13, 0), "36.4.0", None),
            r"has a driver of CUDA 12\.2 \(JetPack 6\); update to",
        ),
    ],
    ids=[
        "fits",
        "no-capability",
        "no-runtime",
        "jetpack-6",
        "jetpack-7-bare",
        "odd-release",
        "nano",
        "old-driver",
        "toolkit-13-on-jetpack-6",
    ],
)
def test_every_reason(cuda: CudaFacts, problem: str | None):
    facts = replace(facts_of(rpi4()), cuda=cuda)
    found = gpu_problem(facts)
    if problem is None:
        assert found is None
        assert usable_gpu(facts) == 89
    else:
        assert usable_gpu(facts) is None
        assert found is not None
        assert re.search(problem, found)


@pytest.mark.parametrize(
    ("values", "release"),
    [
        ({**jetson_orin(), "cuda_driver": "12060"}, (12, 6)),
        ({**BOARDS["jetson-xavier-nx"](), "cuda_driver": "12020"}, (12, 2)),
        (BOARDS["jetson-xavier-nx"](), (11, 4)),
        (jetson_orin(), (12, 2)),
        (orin_with_jetpack_7(), (13, 0)),
        ({**jetson_orin(), "l4t": "# R99 (release), REVISION: 0.0"}, None),
        ({**x86_server(), "cuda_driver": "12040"}, (12, 4)),
        ({**x86_server(), "cuda_driver": "4"}, None),
        (x86_server(), None),
        (rpi4(), None),
    ],
    ids=[
        "says-so",
        "cuda-compat",
        "jetpack-5",
        "jetpack-6",
        "jetpack-7",
        "unknown-jetpack",
        "server",
        "nonsense",
        "silent",
        "no-gpu",
    ],
)
def test_the_release_of_the_driver(values: dict[str, str], release: tuple[int, int] | None):
    assert driver_release(facts_of(values).cuda) == release
