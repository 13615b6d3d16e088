"""Instructions that multiply as inline PTX, a statement of CUDA C++ each."""

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


def wmma_load(operand: str, layout: str, dtype: str, registers: Sequence[str], address: str, stride: str) -> str:
    """The two ``registers`` of an ``operand``, a or b, of 16 x 16 bytes in shared memory: its rows or columns, by
    ``layout``, begin at the generic pointer ``address`` and lie ``stride`` bytes apart, both multiples of 8.

    Which lane has what is left open (PTX ISA, "wmma.load" and "Matrix Fragments for WMMA").
    """
    text = f"wmma.load.{operand}.sync.aligned.{layout}.m16n16k16.shared.{dtype} {_operands(0, 2)}, [%2], %3;"
    outputs = ", ".join(f'"=r"({each})' for each in registers)
    inputs = f'"r"((unsigned)__cvta_generic_to_shared({address})), "r"({stride})'
    return f'asm volatile("{text}" : {outputs} : {inputs} : "memory");\n'


def wmma(dtype: str, sums: Sequence[str], left: Sequence[str], right: Sequence[str]) -> str:
    """``sums += left * right`` of a warp: eight registers for 16 x 16 sums, two for 16 x 16 bytes of each operand,
    rows of the left one and columns of the right one, both of ``dtype`` (PTX ISA, "wmma.mma")."""
    accumulators = _operands(0, 8)
    instruction = f"wmma.mma.sync.aligned.row.col.m16n16k16.s32.{dtype}.{dtype}.s32"
    text = f"{instruction} {accumulators}, {_operands(8, 2)}, {_operands(10, 2)}, {accumulators};"
    outputs = ", ".join(f'"+r"({each})' for each in sums)
    inputs = ", ".join(f'"r"({each})' for each in (*left, *right))
    return f'asm volatile("{text}" : {outputs} : {inputs});\n'


def wmma_store(sums: Sequence[str], address: str, stride: str) -> str:
    """The eight registers of 16 x 16 ``sums`` to shared memory: the rows begin at the generic pointer ``address`` and
    lie ``stride`` words apart, both multiples of 32 bytes (PTX ISA, "wmma.store")."""
    text = f"wmma.store.d.sync.aligned.row.m16n16k16.shared.s32 [%0], {_operands(1, 8)}, %9;"
    inputs = ", ".join(f'"r"({each})' for each in sums)
    return (
        f'asm volatile("{text}" : : "r"((unsigned)__cvta_generic_to_shared({address})), {inputs}, "r"({stride}) : '
        '"memory");\n'
    )


def dp4a_unsigned_by_signed(total: str, left: str, right: str) -> str:
    """``total`` plus four products: unsigned bytes of ``left`` by signed ones of ``right`` (PTX ISA, "dp4a")."""
    return f'asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"({total}) : "r"({left}), "r"({right}));\n'


def choose_bits(result: str, mask: str, ones: str, zeros: str) -> str:
    """Into ``result`` the bits of ``ones`` where the ``mask`` has ones, else those of ``zeros``."""
    return _logic("0xca", result, mask, ones, zeros)


def masked_and_inverted(result: str, value: str, mask: str, inverted: str) -> str:
    """Into ``result`` the bits of ``value`` where the ``mask`` has ones, the ``inverted`` of them inverted."""
    return _logic("0x6a", result, value, mask, inverted)


def _logic(table: str, result: str, *operands: str) -> str:
    """One instruction, where the compiler makes two of the same in ``&``, ``|`` and ``^`` (PTX ISA, "lop3")."""
    inputs = ", ".join(f'"r"({each})' for each in operands)
    return f'asm("lop3.b32 %0, %1, %2, %3, {table};" : "=r"({result}) : {inputs});\n'


def _operands(first: int, count: int) -> str:
    return "{" + ", ".join(f"%{index}" for index in range(first, first + count)) + "}"
