"""Instructions of the tensor cores as inline PTX, a statement of CUDA C++ each."""

from __future__ import annotations

from collections.abc import Sequence


def mma(
    shape: str, types: str, sums: Sequence[str], left: Sequence[str], right: Sequence[str], operation: str = ""
) -> str:
    """``sums += left * right`` of a warp: ``mma.sync`` of ``shape``, which is a fragment's expressions for each.

    ``types``: of left and right, as ``s8.s8``; ``operation``: what replaces multiplication, as ``.xor.popc``
    (PTX ISA, "Multiply-and-Accumulate Instruction: mma").
    """
    accumulators = _operands(0, len(sums))
    others = [_operands(len(sums), len(left)), _operands(len(sums) + len(left), len(right))]
    instruction = f"mma.sync.aligned.{shape}.row.col.s32.{types}.s32{operation}"
    text = f"{instruction} {', '.join([accumulators, *others, accumulators])};"
    outputs = ", ".join(f'"+r"({each})' for each in sums)
    inputs = ", ".join(f'"r"({each})' for each in (*left, *right))
    return f'asm volatile("{text}" : {outputs} : {inputs});\n'


def ldmatrix(registers: Sequence[str], address: str, qualifier: str = "") -> str:
    """A matrix of 8 rows of 16 bytes of shared memory for each of 1, 2 or 4 ``registers``; lane ``8 m + r`` has the
    ``address`` of row ``r`` of matrix ``m``, as a generic pointer; ``qualifier``: ``.trans`` transposes each, 2 bytes
    an element (PTX ISA, "ldmatrix")."""
    assert len(registers) in (1, 2, 4)
    count = len(registers)
    outputs = ", ".join(f'"=r"({each})' for each in registers)
    text = f"ldmatrix.sync.aligned.m8n8.x{count}{qualifier}.shared.b16 {_operands(0, count)}, [%{count}];"
    return f'asm volatile("{text}" : {outputs} : "r"((unsigned)__cvta_generic_to_shared({address})) : "memory");\n'


def _operands(first: int, count: int) -> str:
    return "{" + ", ".join(f"%{index}" for index in range(first, first + count)) + "}"
