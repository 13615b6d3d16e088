"""CUDA compilers: what they make, and what they say where they cannot."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from intbert.errors import ToolchainError
from intbert.targets import cuda_compilers, get_target
from intbert.targets.cuda import ARCHITECTURES, Cuda, Release
from intbert.targets.cuda_compilers import (
    CudaBinary,
    CudaCompiler,
    Nvcc,
    Nvrtc,
    available_compilers,
    compiler_for,
)
from intbert.targets.presets import list_presets

from ..cuda.fatbin import MACHINE_CODE, MAGIC, PTX, entries_of

ORIN = Cuda(87, 8, 918, 102.4)
SOURCE = """
#ifdef __CUDACC_RTC__
  #include <cuda/std/cstdint>
  #include <cuda/std/type_traits>
  using cuda::std::int8_t;
#else
  #include <cstdint>
#endif
extern "C" __global__ void __launch_bounds__(64) scale(const int8_t* x, float* y, float a, float b) {
  y[threadIdx.x] = x[threadIdx.x] * a + b;
}
"""


@pytest.fixture(params=["nvcc 13", "NVRTC 12", "NVRTC 13"])
def compiler(request: pytest.FixtureRequest) -> CudaCompiler:
    found = next((each for each in available_compilers() if each.name.startswith(f"{request.param}.")), None)
    if found is None and request.param.startswith("nvcc"):
        pytest.skip(f"{request.param} is not installed")
    assert found is not None, "the extra cuda belongs to the tests' environment"
    return found


def test_machine_code_and_ptx_in_one_file(compiler: CudaCompiler):
    binary = compiler.compile(SOURCE, ORIN)
    assert struct.unpack_from("<I", binary.fatbin) == (MAGIC,)
    assert binary.cubin[:4] == b"\x7fELF"
    assert ".target sm_87" in binary.ptx
    assert ".entry scale" in binary.ptx
    assert len(binary.fatbin) > len(binary.cubin)
    assert compiler.name.startswith(compiler.title)


def test_no_product_is_contracted(compiler: CudaCompiler):
    binary = compiler.compile(SOURCE, ORIN)
    assert "mul.rn.f32" in binary.ptx
    assert "fma" not in binary.ptx


def test_equal_sources_give_equal_bytes(compiler: CudaCompiler):
    assert compiler.compile(SOURCE, ORIN) == compiler.compile(SOURCE, ORIN)


def test_chips_of_the_presets_are_known(compiler: CudaCompiler):
    """sm_110 had another number in CUDA 12."""
    by_release = {12: {53, 62, 72, 75, 80, 86, 87, 89, 90}, 13: {75, 80, 86, 87, 89, 90, 110}}
    assert set(ARCHITECTURES) & compiler.chips() == by_release[compiler.release[0]]


def test_drivers_of_its_major_release_read_all_that_it_packs(compiler: CudaCompiler):
    """Those of CUDA 12 know no Zstandard before 12.4."""
    includes, start, kernel = SOURCE.partition("extern")
    kernels = [start + kernel.replace("scale", f"scale_{index}") for index in range(9)]
    binary = compiler.compile(includes + "".join(kernels), ORIN)
    machine_code, ptx = entries_of(binary.fatbin)
    assert (machine_code.kind, machine_code.chip, machine_code.payload) == (MACHINE_CODE, 87, binary.cubin)
    assert (ptx.kind, ptx.chip) == (PTX, 87)
    assert len(ptx.payload) < len(binary.ptx)
    assert ptx.compression == "LZ4" or (compiler.release >= (13, 0) and ptx.compression == "Zstandard")


def test_errors_in_the_source_are_told(compiler: CudaCompiler):
    with pytest.raises(ToolchainError, match="undefined_name"):
        compiler.compile(SOURCE.replace("* a", "* undefined_name"), ORIN)


@dataclass(frozen=True)
class FakeCompiler(CudaCompiler):
    """Knows some chips and compiles nothing; knows none: it does not even start."""

    known: frozenset[int]
    of: Release = (13, 7)

    @property
    def title(self) -> str:
        return "fake"

    @property
    def release(self) -> Release:
        return self.of

    def chips(self) -> frozenset[int]:
        if not self.known:
            raise ToolchainError("it does not start")
        return self.known

    def compile(self, source: str, gpu: Cuda) -> CudaBinary:
        raise AssertionError("which chips it knows is all that is asked")


def fake(release: str, *chips: int) -> FakeCompiler:
    major, minor = map(int, release.split("."))
    return FakeCompiler(frozenset(chips), (major, minor))


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch):
    def have(*compilers: FakeCompiler) -> None:
        monkeypatch.setattr(cuda_compilers, "available_compilers", lambda: iter(compilers))

    return have


ALL = {
    "13.2": fake("13.2", 75, 87, 110),
    "13.0": fake("13.0", 75, 87, 110),
    "12.9": fake("12.9", 53, 62, 72, 75, 87),
    "12.4": fake("12.4", 53, 62, 72, 75, 87),
    "11.8": fake("11.8", 53, 62, 72, 75, 87),
}


@pytest.mark.parametrize(
    ("installed", "sm", "driver", "taken"),
    [
        (["13.2", "12.9"], 87, None, "12.9"),
        (["13.2", "12.9"], 87, (13, 0), "12.9"),
        (["13.2", "12.9"], 87, (12, 2), "12.9"),
        (["13.2", "12.9"], 72, None, "12.9"),
        (["13.2", "12.9"], 110, None, "13.2"),
        (["13.2", "12.9"], 110, (13, 0), "13.2"),
        (["13.0", "13.2"], 87, None, "13.0"),
        (["12.4", "13.2", "12.9"], 87, None, "12.4"),
        (["13.2"], 87, (13, 0), "13.2"),
        (["11.8", "12.9"], 87, None, "12.9"),
    ],
    ids=[
        "the-most-drivers-load-it",
        "a-later-driver-loads-it-too",
        "what-the-driver-loads",
        "older-chip",
        "newer-chip",
        "newer-chip-and-its-driver",
        "one-major-release",
        "the-first-of-the-oldest",
        "later-minor-than-the-drivers",
        "too-old",
    ],
)
def test_which_is_taken(only, installed: list[str], sm: int, driver: Release | None, taken: str):
    only(*(ALL[name] for name in installed))
    assert compiler_for(replace(ORIN, sm=sm, driver=driver)) == ALL[taken]


def test_one_that_does_not_start_is_passed_over(only):
    only(fake("13.0"), fake("13.0", 87))
    assert compiler_for(ORIN) == fake("13.0", 87)


def test_without_a_compiler_the_way_to_get_one_is_told(only):
    only()
    with pytest.raises(
        ToolchainError, match=r"sm_87: neither nvcc nor NVRTC is installed; run `pip install 'intbert\["
    ):
        compiler_for(ORIN)


CUDA_12 = "run `pip install nvidia-cuda-nvrtc-cu12 nvidia-nvfatbin`"


@pytest.mark.parametrize(
    ("installed", "sm", "driver", "message"),
    [
        ("13.2", 72, None, f"suits sm_72: fake 13.2 knows sm_75, sm_87, sm_110. CUDA 13 has dropped it, .*{CUDA_12}"),
        ("13.2", 53, None, CUDA_12),
        ("13.2", 87, (12, 6), f"sm_87 with a driver of CUDA 12.6: fake 13.2 compiles for later drivers. .*{CUDA_12}"),
        ("12.9", 87, (11, 4), r"a driver of CUDA 11.4: fake 12.9 compiles for later drivers. Update the driver"),
        ("11.8", 72, (11, 8), r"fake 11.8 is older than CUDA 12.0. Update the driver"),
        (
            "12.9",
            110,
            None,
            "fake 12.9 knows sm_53, .* A later release may know it: run `pip install nvidia-cuda-nvrtc",
        ),
    ],
    ids=["older-chip", "oldest-chip", "later-compiler", "old-driver", "old-driver-and-compiler", "newer-chip"],
)
def test_what_is_missing_is_told(only, installed: str, sm: int, driver: Release | None, message: str):
    only(ALL[installed])
    with pytest.raises(ToolchainError, match=message):
        compiler_for(replace(ORIN, sm=sm, driver=driver))


def test_nvcc_comes_first_then_the_newest_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12", "cu13/lib/libnvfatbin.so.13"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def libraries(pattern: str) -> Iterator[Path]:
        return cuda_compilers.libraries_in([str(tmp_path)], pattern)

    monkeypatch.setattr(cuda_compilers, "_libraries", libraries)
    monkeypatch.setattr(cuda_compilers.shutil, "which", lambda name: f"/opt/{name}")
    fatbin = tmp_path / "cu13/lib/libnvfatbin.so.13"
    assert list(available_compilers()) == [
        Nvcc("/opt/nvcc"),
        Nvrtc(tmp_path / "cu13/lib/libnvrtc.so.13", fatbin),
        Nvrtc(tmp_path / "cuda_nvrtc/lib/libnvrtc.so.12", fatbin),
    ]


def test_a_library_that_cannot_be_loaded_is_told(tmp_path: Path):
    path = tmp_path / "libnvrtc.so.13"
    path.write_bytes(b"no library")
    with pytest.raises(ToolchainError, match=r"libnvrtc\.so\.13 cannot be loaded .*pip install 'intbert\[cuda\]'"):
        Nvrtc(path, path).chips()


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path):
    with pytest.raises(ToolchainError, match=r"cannot run .*nvcc"):
        Nvcc(str(tmp_path / "nvcc")).chips()


@pytest.mark.parametrize("name", [target.name for target in list_presets() if target.cuda is not None])
def test_presets_have_a_compiler_in_the_extra(name: str):
    gpu = get_target(name).cuda
    assert gpu is not None
    compiler = compiler_for(gpu)
    assert gpu.sm in compiler.chips()
    assert compiler.release[0] == (13 if gpu.sm == 110 else 12)
