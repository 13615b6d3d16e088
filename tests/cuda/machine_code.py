"""Machine code of CUDA source, read by a disassembler; tests are skipped where no installed one knows the chip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from intbert.compiler.cuda.cubin import kernels_of
from intbert.compiler.cuda.sass import LOCAL_MEMORY, Instruction, disassemble, disassemblers
from intbert.errors import ToolchainError
from intbert.targets.cuda import Cuda
from intbert.targets.cuda_compilers import OLDEST_OF_CUDA_13, compiler_for


def cubin_of(source: str, gpu: Cuda) -> bytes:
    """``source`` compiled for ``gpu``, by the compiler that users get."""
    return compiler_for(gpu).compile(source, gpu).cubin


def integer_code(source: str, gpu: Cuda) -> Mapping[str, tuple[Instruction, ...]]:
    """The instructions of each kernel of ``source``, none of which computes with floats, spills or returns to a caller.

    A test is skipped, once registers are known not to spill, where no disassembler knows the chip.
    """
    cubin = cubin_of(source, gpu)
    assert not [kernel.name for kernel in kernels_of(cubin) if kernel.local_bytes], "registers are spilled"
    functions = disassembled(cubin, gpu)
    for name, instructions in functions.items():
        assert_of_integers(name, instructions)
    return functions


def assert_of_integers(name: str, instructions: Iterable[Instruction]) -> None:
    """That the kernel ``name`` has no such instruction. Calls are jumps where nothing returns."""
    refused = [
        instruction
        for instruction in instructions
        if instruction.computes_floats or instruction.operation in LOCAL_MEMORY | {"RET"}
    ]
    assert not refused, f"{name}: {refused[:5]}"


def disassembled(cubin: bytes, gpu: Cuda) -> Mapping[str, tuple[Instruction, ...]]:
    """The instructions of each function; a test is skipped where nothing is installed that knows the chip."""
    if not any(disassemblers()):
        pytest.skip("nvdisasm is not installed")
    try:
        return disassemble(cubin)
    except ToolchainError as error:
        if gpu.sm >= OLDEST_OF_CUDA_13:
            raise
        pytest.skip(f"nvdisasm of CUDA 13 does not know {gpu.name}, and PyPI has no earlier one: {error}")
