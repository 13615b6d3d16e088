"""What is read from /proc and /sys."""

import os
from pathlib import Path

import pytest
from peer_bench.contenders import CONTENDERS, RUNTIMES, contenders
from peer_bench.errors import BenchmarkError
from peer_bench.machine import cpu_features, cpu_model, cpus_for, one_cpu_per_core

X86 = "processor\t: 0\nmodel name\t: A Processor: 3 GHz\nflags\t\t: fpu avx2 amx_bf16 avx512_vnni\n"
AARCH64 = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd0b\n\nModel\t\t: A Board\n"


@pytest.mark.parametrize(
    ("cpuinfo", "model", "features"),
    [
        (X86, "A Processor: 3 GHz", ["amx_bf16", "avx2", "avx512_vnni"]),
        (AARCH64, "A Board", ["asimd", "asimddp"]),
    ],
    ids=["x86", "aarch64"],
)
def test_model_and_features(cpuinfo: str, model: str, features: list[str]) -> None:
    assert cpu_model(cpuinfo) == model
    assert cpu_features(cpuinfo) == features


def test_this_machine_can_be_read() -> None:
    assert cpu_model()
    assert cpu_features() == sorted(set(cpu_features()))


def test_two_threads_do_not_share_a_core(tmp_path: Path) -> None:
    for cpu, siblings in {0: "0,4", 1: "1,5", 4: "0,4", 5: "1,5"}.items():
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    assert one_cpu_per_core({5, 4, 1, 0}, tmp_path) == [0, 1]
    assert one_cpu_per_core({4, 5}, tmp_path) == [4, 5]
    assert one_cpu_per_core({0, 7}, tmp_path) == [0, 7]


def test_more_threads_than_cores_are_refused() -> None:
    assert cpus_for(1)[0] in os.sched_getaffinity(0)
    with pytest.raises(BenchmarkError, match="lower --threads"):
        cpus_for(len(os.sched_getaffinity(0)) + 1)


def test_bf16_takes_part_only_in_hardware() -> None:
    without = contenders(RUNTIMES, {"avx2"})
    assert contenders(RUNTIMES, {"avx2", "amx_bf16"}) == list(CONTENDERS)
    assert {c.name for c in CONTENDERS} - {c.name for c in without} == {"openvino-bf16"}


def test_names_of_contenders_are_unique() -> None:
    assert len({contender.name for contender in CONTENDERS}) == len(CONTENDERS)
