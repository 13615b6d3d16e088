"""Canonical features: implication, and reading them from what the kernel says."""

import subprocess
import sys

import pytest
from intbert.targets import features

V3 = "avx avx2 fma bmi1 bmi2 f16c abm movbe xsave"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


def cpuinfo(*cores: str) -> str:
    return "\n\n".join(f"processor\t: {i}\nflags\t\t: fpu {flags}" for i, flags in enumerate(cores))


@pytest.mark.parametrize("arch", sorted(features.IMPLIED))
def test_implied_features_exist_and_closing_is_idempotent(arch):
    for feature, implied in features.IMPLIED[arch].items():
        closed = features.close_features(arch, {feature})
        assert {feature} | implied <= closed <= set(features.IMPLIED[arch])
        assert features.close_features(arch, closed) == closed


def test_closing_follows_implication_through_several_steps():
    assert features.close_features("x86_64", {"avx512_vnni"}) == {"avx2", "avx512", "avx512_vnni"}
    assert features.close_features("aarch64", {"sve2"}) == {"neon", "sve", "sve2"}


def test_closing_refuses_a_feature_of_another_architecture():
    with pytest.raises(KeyError):
        features.close_features("aarch64", {"avx2"})


@pytest.mark.parametrize(
    ("text", "amx_granted", "expected"),
    [
        pytest.param("", False, set(), id="empty"),
        pytest.param(cpuinfo("sse2"), False, set(), id="sse2"),
        pytest.param(cpuinfo(V3), False, {"avx2"}, id="haswell"),
        pytest.param(cpuinfo(f"{V3} avx_vnni"), False, {"avx2", "avx_vnni"}, id="alder-lake"),
        pytest.param(cpuinfo(V4), False, {"avx2", "avx512"}, id="skylake-x"),
        pytest.param(
            cpuinfo(f"{V4} avx512_vnni avx512vbmi"),
            False,
            {"avx2", "avx512", "avx512_vnni", "avx512_vbmi"},
            id="zen4",
        ),
        pytest.param(cpuinfo(f"{V4} amx_tile amx_int8"), True, {"avx2", "avx512", "amx_int8"}, id="amx"),
        pytest.param(cpuinfo(f"{V4} amx_tile amx_int8"), False, {"avx2", "avx512"}, id="amx-not-granted"),
        pytest.param(cpuinfo(V4, V3), False, {"avx2"}, id="only-what-every-core-has"),
        pytest.param(cpuinfo(f"{V3} avx512_vnni"), False, {"avx2"}, id="vnni-with-avx512-masked"),
        pytest.param(cpuinfo(V4.replace("bmi2 ", "")), False, set(), id="avx512-with-bmi2-masked"),
    ],
)
def test_x86_features(text, amx_granted, expected):
    assert features.x86_features(text, amx_granted=amx_granted) == expected


# The words that Linux passes: HWCAP_ASIMD is bit 1, ASIMDDP 20, SVE 22; HWCAP2_SVE2 bit 1, I8MM 13.
@pytest.mark.parametrize(
    ("hwcap", "hwcap2", "expected"),
    [
        pytest.param(0, 0, set(), id="none"),
        pytest.param(0x887, 0, {"neon"}, id="cortex-a72"),
        pytest.param(0x119FFF, 0, {"neon", "dotprod"}, id="cortex-a76"),
        pytest.param(0x119FFF | 1 << 22, 1 << 13, {"neon", "dotprod", "sve", "i8mm"}, id="neoverse-v1"),
        pytest.param(
            0x119FFF | 1 << 22,
            1 << 13 | 1 << 1,
            {"neon", "dotprod", "sve", "sve2", "i8mm"},
            id="neoverse-v2",
        ),
        pytest.param(0x887, 1 << 1, {"neon"}, id="sve2-with-sve-masked"),
    ],
)
def test_aarch64_features(hwcap, hwcap2, expected):
    assert features.aarch64_features(hwcap, hwcap2) == expected


def test_host_features_are_closed():
    arch, own = features.host_arch(), features.host_features()
    assert features.close_features(arch, own) == own


@pytest.mark.skipif(features.host_arch() != "x86_64", reason="reads the flags that x86 alone has")
def test_host_has_what_this_process_was_compiled_to_use():
    """NumPy dispatches by cpuid: an independent reading of the same CPU."""
    from numpy._core._multiarray_umath import __cpu_features__ as by_cpuid

    own = features.host_features()
    assert ("avx2" in own) <= by_cpuid["AVX2"]
    assert ("avx512" in own) == by_cpuid["AVX512_SKX"]


def test_features_need_the_standard_library_alone():
    program = (
        "import sys, intbert.targets.features; "
        "print([name for name in ('numpy', 'tvm', 'tvm_ffi', 'pydantic', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
