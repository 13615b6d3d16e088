"""CUDA compilers: what they make, and what they say where they cannot."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from intbert.errors import ToolchainError
from intbert.targets import cuda_compilers, get_target
from intbert.targets.cuda import Cuda
from intbert.targets.cuda_compilers import (
    CudaBinary,
    CudaCompiler,
    Nvcc,
    Nvrtc,
    available_compilers,
    compiler_for,
)

ORIN = Cuda(87, 8, 918, 102.4)
FATBIN_MAGIC = 0xBA55ED50
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


@pytest.fixture(params=["nvcc", "NVRTC"])
def compiler(request: pytest.FixtureRequest) -> CudaCompiler:
    found = next((each for each in available_compilers() if each.title == request.param), None)
    if found is None and request.param == "nvcc":
        pytest.skip("nvcc is not installed")
    assert found is not None, "the extra cuda belongs to the tests' environment"
    return found


def test_machine_code_and_ptx_in_one_file(compiler: CudaCompiler):
    binary = compiler.compile(SOURCE, ORIN)
    assert struct.unpack_from("<I", binary.fatbin) == (FATBIN_MAGIC,)
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


def test_every_preset_of_cuda_13_is_known(compiler: CudaCompiler):
    if compiler.release >= (13, 0):
        assert {75, 80, 86, 87, 89, 90, 110} <= compiler.chips()


def test_errors_in_the_source_are_told(compiler: CudaCompiler):
    with pytest.raises(ToolchainError, match="undefined_name"):
        compiler.compile(SOURCE.replace("* a", "* undefined_name"), ORIN)


@dataclass(frozen=True)
class FakeCompiler(CudaCompiler):
    """Knows some chips and compiles nothing; knows none: it does not even start."""

    known: frozenset[int]

    @property
    def title(self) -> str:
        return "fake"

    @property
    def release(self) -> tuple[int, int]:
        return 13, 7

    def chips(self) -> frozenset[int]:
        if not self.known:
            raise ToolchainError("it does not start")
        return self.known

    def compile(self, source: str, gpu: Cuda) -> CudaBinary:
        raise AssertionError("which chips it knows is all that is asked")


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch):
    def have(*known: set[int]) -> None:
        compilers = [FakeCompiler(frozenset(chips)) for chips in known]
        monkeypatch.setattr(cuda_compilers, "available_compilers", lambda: iter(compilers))

    return have


def test_the_first_that_knows_the_chip_is_taken(only):
    only({75, 80}, {72, 87}, {87})
    assert compiler_for(ORIN) == FakeCompiler(frozenset({72, 87}))


def test_one_that_does_not_start_is_passed_over(only):
    only(set(), {87})
    assert compiler_for(ORIN) == FakeCompiler(frozenset({87}))


def test_without_a_compiler_the_way_to_get_one_is_told(only):
    only()
    with pytest.raises(
        ToolchainError, match=r"sm_87: neither nvcc nor NVRTC is installed; run `pip install 'intbert\["
    ):
        compiler_for(ORIN)


@pytest.mark.parametrize(
    ("sm", "mend"),
    [(72, "pip install nvidia-cuda-nvrtc-cu12"), (53, "pip install nvidia-cuda-nvrtc-cu12"), (110, "a later release")],
)
def test_an_unknown_chip_is_refused_with_those_that_are_known(only, sm, mend):
    only({87, 75})
    with pytest.raises(ToolchainError, match=rf"knows sm_{sm}: fake 13\.7 knows sm_75, sm_87\. .*{mend}"):
        compiler_for(replace(ORIN, sm=sm))


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


@pytest.mark.parametrize("name", ["jetson-orin", "cuda-sm75", "cuda-sm90-aarch64", "jetson-thor"])
def test_presets_have_a_compiler(name):
    gpu = get_target(name).cuda
    assert gpu is not None
    assert gpu.sm in compiler_for(gpu).chips()
