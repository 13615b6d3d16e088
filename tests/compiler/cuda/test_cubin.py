"""What kernels need, as their cubin says; where nvcc is installed, as its assembler says too."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from intbert.compiler.cuda.cubin import KernelResources, kernels_of
from intbert.errors import ToolchainError
from intbert.targets import get_target
from intbert.targets.cuda import Cuda
from intbert.targets.cuda_compilers import Nvcc, compiler_for

SOURCE = """
extern "C" __global__ void __launch_bounds__(96) shares(int* x) {
  __shared__ int row[100];
  row[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = row[95 - threadIdx.x];
}
extern "C" __global__ void __launch_bounds__(256) spills(int* x, int n) {
  int kept[64];
  for (int i = 0; i < 64; ++i) kept[i] = x[i * 256 + threadIdx.x];
  for (int i = 0; i < n; ++i) kept[x[i] & 63] += kept[x[i + 1] & 63];
  for (int i = 0; i < 64; ++i) x[i * 256 + threadIdx.x] = kept[i];
}
extern "C" __global__ void __launch_bounds__(32) empty() {}
"""
TARGETS = ("jetson-nano", "jetson-tx2", "jetson-xavier", "cuda-sm75", "jetson-orin", "cuda-sm90", "jetson-thor")


def gpu_of(name: str) -> Cuda:
    gpu = get_target(name).cuda
    assert gpu is not None
    return gpu


@pytest.fixture(scope="module")
def cubins() -> dict[str, bytes]:
    return {name: compiler_for(gpu_of(name)).compile(SOURCE, gpu_of(name)).cubin for name in TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_kernels_and_what_they_need(cubins: dict[str, bytes], name: str):
    empty, shares, spills = kernels_of(cubins[name])
    assert [empty.name, shares.name, spills.name] == ["empty", "shares", "spills"]
    assert [empty.threads, shares.threads, spills.threads] == [32, 96, 256]
    assert [empty.shared_bytes, shares.shared_bytes, spills.shared_bytes] == [0, 400, 0]
    assert [empty.local_bytes, shares.local_bytes, spills.local_bytes] == [0, 0, 256]
    assert all(1 <= kernel.registers <= 255 for kernel in (empty, shares, spills))


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize("name", TARGETS)
def test_the_assembler_says_the_same(tmp_path: Path, name: str):
    if gpu_of(name).sm not in Nvcc("nvcc").chips():
        pytest.skip(f"nvcc does not know {gpu_of(name).name}")
    source, cubin = tmp_path / "kernels.cu", tmp_path / "kernels.cubin"
    source.write_text(SOURCE)
    command = ["nvcc", "-cubin", f"-arch={gpu_of(name).name}", "-Xptxas", "-v", "-o", str(cubin), str(source)]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    said = {
        kernel: KernelResources(kernel, int(registers), int(stack), int(shared or 0), 0)
        for kernel, stack, registers, shared in re.findall(
            r"entry function '(\w+)'.*?(\d+) bytes stack frame.*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
            words,
            re.DOTALL,
        )
    }
    read = {
        k.name: KernelResources(k.name, k.registers, k.local_bytes, k.shared_bytes, 0)
        for k in kernels_of(cubin.read_bytes())
    }
    assert said == read
    assert len(said) == 3


@pytest.mark.parametrize("keep", [0, 4, 63, 200, 3000], ids=lambda keep: f"{keep}-bytes")
def test_a_damaged_file_is_told(cubins: dict[str, bytes], keep: int):
    with pytest.raises(ToolchainError, match="in no form that is known here"):
        kernels_of(cubins["jetson-orin"][:keep])


def test_another_file_is_told():
    with pytest.raises(ToolchainError, match="no ELF file"):
        kernels_of(b"\x7fELFno".replace(b"ELF", b"elf") + bytes(200))
