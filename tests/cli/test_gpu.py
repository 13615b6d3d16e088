"""The command line with a target whose GPU runs the operators, on a machine that has none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.model import HeadKind
from intbert.compiler.model_files import save
from intbert.compiler.runtime import driver
from intbert.rpc.devices.address import Address
from intbert.rpc.devices.device import Device
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.probing import parse_report
from intbert.targets import cuda_compilers
from intbert.targets.features import X86_64, host_arch

from ..models import Size, tiny_model
from ..rpc.probing.reports import jetson_orin, report_of
from .conftest import Run

Json = Callable[..., Any]


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantized")
    save(tiny_model("Bert", HeadKind.MEAN_POOLING), folder)
    return folder


@pytest.fixture
def artifact(intbert: Run, quantized: Path, tmp_path: Path) -> Path:
    output = tmp_path / "artifact.tar"
    result = intbert("compile", quantized, "--target", "cuda-sm75", "--lengths", "6", "-o", output)
    assert result.exit_code == 0, result.stderr
    return output


def test_inspect_shows_what_each_kernel_needs(intbert: Run, intbert_json: Json, artifact: Path):
    kernels = intbert_json("inspect", artifact)["cuda"]["kernels"]
    printed = intbert("inspect", artifact).stdout
    assert "GPU kernels (sm_75" in printed
    for kernel in kernels:
        (row,) = (line.split() for line in printed.splitlines() if line.startswith(f"{kernel['name']} "))
        fields = ("name", "threads", "registers", "local_bytes", "shared_bytes")
        assert row == [*(str(kernel[field]) for field in fields), f"{kernel['occupancy']:.0%}"]


def test_inspect_says_why_tensor_cores_are_not_used(intbert: Run, artifact: Path):
    printed = " ".join(intbert("inspect", artifact).stdout.partition("Fallbacks")[2].split())
    reasons = "mma_k32: the GPU has no mma_k32; mma_k16: head dimension 8 is not a multiple of 32"
    assert f"layers.*.attention plain {reasons}" in printed


def test_inspect_is_content_with_other_instructions_for_the_same_products(intbert: Run, tmp_path: Path):
    """sm_75 has no mma_k32, but an instruction of its own for int8 tensor cores."""
    save(tiny_model("Bert", HeadKind.MEAN_POOLING, Size(128, heads=2, intermediate=256)), tmp_path)
    output = tmp_path / "artifact.tar"
    intbert("compile", tmp_path, "--target", "cuda-sm75", "--lengths", "6", "-o", output)
    printed = intbert("inspect", output, "--strategies").stdout
    assert "the GPU has no mma_k32" in " ".join(printed.split())
    assert "Fallbacks" not in printed


def test_run_says_that_there_is_no_driver(intbert: Run, artifact: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(driver, "DRIVER", "libcuda-that-nobody-has.so.1")
    result = intbert("run", artifact, "a sentence")
    assert result.exit_code == 1
    assert "this machine has no NVIDIA driver" in str(result.stderr) + str(result.exception)


def test_compile_says_how_to_get_a_compiler(
    intbert: Run, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cuda_compilers, "available_compilers", lambda: iter(()))
    result = intbert("compile", quantized, "--target", "jetson-orin", "-o", tmp_path / "artifact")
    assert result.exit_code == 1
    assert "pip install 'intbert[cuda]'" in str(result.stderr) + str(result.exception)


@pytest.fixture
def only_cuda_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the compilers of CUDA 13, whose code a driver of CUDA 12 does not load."""
    found = [compiler for compiler in cuda_compilers.available_compilers() if compiler.release[0] == 13]
    monkeypatch.setattr(cuda_compilers, "available_compilers", lambda: iter(found))


@pytest.mark.usefixtures("only_cuda_13")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "jetson-orin", "--driver", "12.6"], "sm_87 with a driver of CUDA 12.6"),
        (["--target", "jetson-orin", "--device", "orin"], "sm_87 with a driver of CUDA 12.2"),
        (["--device", "orin", "--driver", "12.4"], "--driver is of GPUs, and jetson-orin-cpu has none"),
        (["--target", "jetson-orin", "--driver", "540.4.0"], "'540.4.0' is no CUDA release"),
        ([], "--target, or --device"),
    ],
    ids=["stated", "the-devices", "of-a-cpu", "no-release", "nothing"],
)
def test_compile_is_for_a_driver(
    intbert: Run, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
):
    """An Orin with JetPack 6 computes on its CPU, unless its user has built the runtime and names the GPU's target."""
    monkeypatch.setenv("INTBERT_DEVICES", str(tmp_path / "devices"))
    facts = parse_report(report_of(jetson_orin()))
    Inventory().keep(Device("orin", Address.parse("me@orin"), facts, "jetson-orin-cpu", "a test"))
    result = intbert("compile", quantized, "-o", tmp_path / "artifact", *options)
    assert result.exit_code != 0
    assert words in " ".join(f"{result.stderr} {result.exception}".replace("│", "").split())


@pytest.mark.usefixtures("only_cuda_13")
def test_compile_for_a_device_is_for_its_target(
    intbert_json: Json, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("INTBERT_DEVICES", str(tmp_path / "devices"))
    facts = parse_report(report_of({**jetson_orin(), "cuda_driver": "13000"}))
    Inventory().keep(Device("orin", Address.parse("me@orin"), facts, "jetson-orin", "a test"))
    compiled = intbert_json("compile", quantized, "--device", "orin", "--lengths", "6", "-o", tmp_path / "artifact")
    assert compiled["target"] == "jetson-orin"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "measuring kernels of a GPU needs one, this machine has no NVIDIA driver"),
        (["--cost-model", "static"], "whose kernels cannot be estimated from their code"),
    ],
    ids=["measured", "estimated"],
)
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU")
def test_tune_says_what_is_missing(intbert: Run, quantized: Path, tmp_path: Path, options: list[str], words: str):
    target = "cuda-sm75" if host_arch() == X86_64 else "cuda-sm75-aarch64"
    result = intbert("tune", quantized, "--target", target, "--log", tmp_path / "log.db", *options)
    assert result.exit_code == 1
    assert words in str(result.stderr) + str(result.exception)


def test_threads_are_of_cpus(intbert: Run, quantized: Path, tmp_path: Path):
    options = ("--target", "jetson-orin", "--log", tmp_path / "log.db", "--threads", 2)
    assert intbert("tune", quantized, *options).exit_code == 2


def test_targets_show_their_gpus(intbert: Run, intbert_json: Json):
    found = {target["name"]: target["cuda"] for target in intbert_json("targets")["targets"]}
    assert found["rpi4"] is None
    assert found["jetson-orin"]["sm"] == 87
    assert "sm_87" in intbert("targets", "jetson-orin").stdout


def test_doctor_lists_the_chips(intbert_json: Json):
    checks = {check["name"]: check for check in intbert_json("doctor")["checks"]}
    assert "sm_87" in checks["CUDA compiler"]["found"]
    assert "nvidia-cuda-nvrtc" in checks["extra cuda"]["found"]
