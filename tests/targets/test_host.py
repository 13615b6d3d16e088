"""The probed host."""

import platform

import pytest
from intbert.errors import TargetError
from intbert.targets import get_target, host
from intbert.targets.features import close_features, host_arch, host_features


def cpuinfo(*cores: tuple[int, int]) -> str:
    return "\n\n".join(
        f"processor\t: {i}\nCPU implementer\t: {implementer:#x}\nCPU part\t: {part:#05x}"
        for i, (implementer, part) in enumerate(cores)
    )


def test_host_is_this_machine():
    target = get_target("host")
    assert target.name == "host"
    assert target.arch == host_arch()
    assert target.features == host_features()
    assert target.memory_mb is not None


@pytest.mark.parametrize(
    ("features", "level"),
    [
        (set(), "x86-64"),
        ({"avx2"}, "x86-64-v3"),
        ({"avx_vnni"}, "x86-64-v3"),
        ({"avx512"}, "x86-64-v4"),
        ({"avx512_vnni", "amx_int8"}, "x86-64-v4"),
        ({"amx_int8"}, "x86-64"),
    ],
)
def test_x86_level(features, level):
    assert host.x86_level(close_features("x86_64", features)) == level


@pytest.mark.parametrize(
    ("text", "features", "cpu"),
    [
        pytest.param(cpuinfo((0x41, 0xD08)), {"neon"}, "cortex-a72", id="rpi4"),
        pytest.param(cpuinfo((0x41, 0xD0B)), {"dotprod"}, "cortex-a76", id="rpi5"),
        pytest.param(cpuinfo((0x41, 0xD0B)), {"neon"}, "generic", id="dotprod-masked"),
        pytest.param(cpuinfo((0x41, 0xD42)), {"dotprod"}, "cortex-a78ae", id="orin"),
        pytest.param(cpuinfo((0x41, 0xD03), (0x41, 0xD08)), {"neon"}, "cortex-a53", id="big-little"),
        pytest.param(cpuinfo((0x99, 0xD08)), {"neon"}, "generic", id="unknown-implementer"),
        pytest.param("model name : something x86", {"dotprod"}, "generic", id="emulated"),
        pytest.param("", {"neon"}, "generic", id="empty"),
    ],
)
def test_arm_cpu(text, features, cpu):
    assert host.arm_cpu(text, close_features("aarch64", features)) == cpu


def test_arm_cores_bring_the_features_that_llvm_says():
    from tvm.target import Target as TVMTarget
    from tvm.target.codegen import llvm_get_cpu_features

    for cpu, features in host._ARM_CORES.values():
        tvm_target = TVMTarget({"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": cpu})
        of_llvm = {str(feature) for feature in llvm_get_cpu_features(tvm_target)}
        assert of_llvm & {"neon", "dotprod", "i8mm", "sve", "sve2"} == features, cpu


@pytest.mark.parametrize(
    ("implementer", "part", "name"),
    [(0x41, 0xD08, "cortex-a72"), (0x41, 0xD05, "cortex-a55"), (0x4E, 0x004, "carmel"), (0x41, 0x004, None)],
)
def test_arm_core_name(implementer, part, name):
    assert host.arm_core_name(implementer, part) == name


def test_arm_cores_that_are_known_by_name_only_are_llvms():
    from tvm.target.codegen import llvm_is_valid_cpu

    assert host._OTHER_ARM_CORES.keys().isdisjoint(host._ARM_CORES)
    assert [cpu for cpu in host._OTHER_ARM_CORES.values() if not llvm_is_valid_cpu(cpu, "aarch64-linux-gnu")] == []


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_unsupported_host(monkeypatch, system, machine):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(TargetError, match=f"this machine \\({system} on .*name a Linux board instead"):
        host.probe_host()
