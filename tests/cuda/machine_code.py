"""Machine code of CUDA source, read by a disassembler. Tests are skipped for what is not installed, nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from intbert.compiler.cuda.sass import Instruction, disassemble, disassemblers
from intbert.errors import ToolchainError
from intbert.targets.cuda import Cuda
from intbert.targets.cuda_compilers import OLDEST_OF_CUDA_13, CudaCompiler, Nvrtc, available_compilers, compiler_for


def cubin_of(source: str, gpu: Cuda) -> bytes:
    """``source`` compiled for ``gpu``; a test is skipped where no installed compiler knows the chip."""
    try:
        compiler = _quickest_compiler(gpu)
    except ToolchainError as error:
        pytest.skip(str(error))
    return compiler.compile(source, gpu).cubin


def disassembled(cubin: bytes, gpu: Cuda) -> Mapping[str, tuple[Instruction, ...]]:
    """The instructions of each function; a test is skipped where nothing is installed that may know the chip."""
    if not any(disassemblers()):
        pytest.skip("nvdisasm is not installed")
    try:
        return disassemble(cubin)
    except ToolchainError as error:
        if gpu.sm >= OLDEST_OF_CUDA_13:
            raise
        pytest.skip(str(error))  # the disassemblers of CUDA 13 refuse older chips


def _quickest_compiler(gpu: Cuda) -> CudaCompiler:
    """NVRTC, which needs half of nvcc's time, where it knows ``gpu``. ToolchainError where nothing does."""
    libraries = [compiler for compiler in available_compilers() if isinstance(compiler, Nvrtc)]
    return next((each for each in libraries if gpu.sm in each.chips()), None) or compiler_for(gpu)
