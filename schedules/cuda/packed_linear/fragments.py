"""Packed weights on tensor cores: as int8 on every one, and as they are where 4-bit products are in hardware.

As int8 codes of up to 4 bits are multiples of their values. The others are multiplied as they are:
``sum x (step code + offset) = step sum x code + offset sum x``.
"""

from __future__ import annotations

from collections.abc import Callable
from string import Template

from ..copies import ASYNC_COPY, COPY_THROUGH_REGISTERS
from ..inline_ptx import ldmatrix, mma
from ..linear.products import INT8_K16, INT8_K32, LEFT, SUMS, of_eight_rows
from ..linear.warp_tile import WarpTile
from .added_columns import ADD_BY_K16, ADD_BY_K32
from .codes import CenteredBytes, code_bytes, fields, nibbles
from .copies import slots_of_line, turn_of_piece
from .tile import MOST_STAGES, Operands, PackedMultiplication

TALL = tuple(
    WarpTile(warps, steps, MOST_STAGES)
    for warps, steps in (
        ((2, 2), (4, 8)),
        ((2, 2), (4, 4)),
        ((2, 2), (2, 4)),
        ((2, 2), (2, 2)),
        ((2, 2), (1, 2)),
        ((1, 4), (1, 2)),
        ((1, 2), (1, 2)),
    )
)
"""For what unpacks weights in every warp: the more rows share that, the better."""
WIDE = tuple(
    WarpTile(warps, steps, MOST_STAGES)
    for warps, steps in (
        ((4, 1), (2, 16)),
        ((2, 2), (2, 8)),
        ((2, 2), (2, 4)),
        ((2, 2), (1, 4)),
        ((1, 4), (1, 4)),
        ((1, 4), (1, 2)),
        ((1, 2), (1, 2)),
    )
)
"""For what packs activations in every warp: the more columns share that, the better."""


def group_size(tile: WarpTile) -> int:
    """Column steps whose codes are loaded at once."""
    return 4 if tile.steps[1] % 4 == 0 else 2


def declare_codes(bits: int) -> str:
    """The registers of :func:`load_codes`."""
    return "".join(f"unsigned {field.register}[kColumnSteps];\n" for field in fields(bits))


def load_codes(tile: WarpTile, bits: int) -> str:
    """Statements for the group of column steps from ``j`` on: the fields whose piece is another one at turn ``t``.

    The ``place`` of a turn is ``t % 2 * 2 + t / 2``.
    """
    count = group_size(tile)
    return "".join(
        _LOAD_CODES.substitute(
            turns=field.places_of_piece,
            first=field.piece,
            width=field.width,
            count=count,
            slots=slots_of_line(bits),
            turn=turn_of_piece(bits),
            load=ldmatrix([f"{field.register}[j + {index}]" for index in range(count)], "address"),
        )
        for field in fields(bits)
    )


_LOAD_CODES = Template(r"""
          if (t % ${turns} == 0) {
            const int piece = ${first} + place % ${width};
            const signed char* address = right + (piece * kColumns + warp_column + (j + lane / 8 % ${count}) * 8 +
                                                  (lane % 8 ^ piece * ${turn})) * 16;
            ${load}
          }
""")
LOAD_ACTIVATIONS = f"""
          const int lane_place = lane / 16 * 4 + place;
          const signed char* address = left + (lane_place * kRows + warp_row + i * 16 + lane / 8 % 2 * 8 +
                                               (lane % 8 ^ lane_place)) * 16;
          {ldmatrix(["q[0]", "q[1]", "q[2]", "q[3]"], "address")}
"""
"""Into ``q``, of row step ``i``: ``place`` of rows ``group`` and ``group + 8``, then ``place + 4`` of the same."""


def declare_row_sums(tile: WarpTile, operands: Operands) -> str:
    """The sums of the activations, of rows ``group`` and ``group + 8`` of each row step."""
    return "int row_sums[kRowSteps][2] = {};\n"


def finish_codes(tile: WarpTile, operands: Operands) -> str:
    """Sums of values from sums of codes, where every lane has the whole sums of its rows."""
    return _FINISH_CODES.substitute(step=operands.packed.step, offset=operands.packed.offset)


_FINISH_CODES = Template(r"""
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) {
    const int half = i / (kColumnSteps * 2);
    sums[i] = sums[i] * ${step} + row_sums[half / 2][half % 2] * (${offset});
  }
""")


def _declare_int8(tile: WarpTile, operands: Operands) -> str:
    return "" if CenteredBytes.holds(operands.packed) else declare_row_sums(tile, operands)


def _finish_int8(tile: WarpTile, operands: Operands) -> str:
    if not CenteredBytes.holds(operands.packed):
        return _finish_fragments(tile, operands)
    return _FINISH_CENTERED.substitute(value=CenteredBytes(operands.packed).values("sums[i]"))


_FINISH_CENTERED = Template(r"""
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) sums[i] = ${value};
""")


def _finish_fragments(tile: WarpTile, operands: Operands) -> str:
    """The same where each lane of a group has the sums of the depth that it has held."""
    return _ADD_LANES + finish_codes(tile, operands)


_ADD_TO_ROW_SUMS = """
          row_sums[i][0] = __dp4a((int)q[0], 0x01010101, __dp4a((int)q[2], 0x01010101, row_sums[i][0]));
          row_sums[i][1] = __dp4a((int)q[1], 0x01010101, __dp4a((int)q[3], 0x01010101, row_sums[i][1]));
"""
_ADD_LANES = """
#pragma unroll
  for (int i = 0; i < kRowSteps * 2; ++i) {
    int* row_sum = &row_sums[i / 2][i % 2];
    *row_sum += __shfl_xor_sync(0xffffffffu, *row_sum, 1);
    *row_sum += __shfl_xor_sync(0xffffffffu, *row_sum, 2);
  }
"""


def _int8_fragments(products: str) -> Callable[[WarpTile, Operands], str]:
    def multiply(tile: WarpTile, operands: Operands) -> str:
        packed = operands.packed
        centered = CenteredBytes.holds(packed)
        return _INT8_FRAGMENTS.substitute(
            declare=declare_codes(packed.bits),
            load_activations=LOAD_ACTIVATIONS,
            add_to_row_sums="" if centered else _ADD_TO_ROW_SUMS,
            group=group_size(tile),
            load_codes=load_codes(tile, packed.bits),
            unpack=CenteredBytes(packed).declared("j") if centered else code_bytes(packed.bits, "j"),
            products=products,
        )

    return multiply


_INT8_FRAGMENTS = Template(r"""
      ${declare}
#pragma unroll
      for (int t = 0; t < 4; ++t) {
        const int place = t % 2 * 2 + t / 2;
        unsigned a[kRowSteps][4];
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
          unsigned* q = a[i];
          ${load_activations}
          ${add_to_row_sums}
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps; j += ${group}) {
          ${load_codes}
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps; ++j) {
          ${unpack}
#pragma unroll
          for (int i = 0; i < kRowSteps; ++i) {
            int* d = sums + (i * 2 * kColumnSteps + j) * 2;
            int* e = d + kColumnSteps * 2;
            ${products}
          }
        }
      }
""")


def _int4_fragments(products: str) -> Callable[[WarpTile, Operands], str]:
    def multiply(tile: WarpTile, operands: Operands) -> str:
        bits = operands.packed.bits
        as_they_are = bits == 4
        group = 2 if as_they_are else group_size(tile)
        unpacked = _UNPACK_NIBBLES.substitute(
            group=group, load_codes=load_codes(tile, bits), nibbles=nibbles(fields(bits), "j + k")
        )
        return _INT4_FRAGMENTS.substitute(
            declare="" if as_they_are else declare_codes(bits),
            load_activations=LOAD_ACTIVATIONS,
            add_to_row_sums=_ADD_TO_ROW_SUMS,
            group=group,
            fragments=_LOAD_NIBBLES if as_they_are else unpacked,
            products=products,
        )

    return multiply


# The two registers of a fragment must be neighbours, so one instruction loads both: no other brings them together.
_LOAD_NIBBLES = f"""
          const int piece = lane / 8 % 2 * 2 + turns / 2;
          const signed char* address = right + (piece * kColumns + warp_column + (j + lane / 16) * 8 +
                                                (lane % 8 ^ piece * {turn_of_piece(4)})) * 16;
          {ldmatrix(["b[0][0]", "b[0][1]", "b[1][0]", "b[1][1]"], "address")}
"""
_UNPACK_NIBBLES = Template(r"""
#pragma unroll
          for (int t = turns; t < turns + 2; ++t) {
            const int place = t % 2 * 2 + t / 2;
            ${load_codes}
#pragma unroll
            for (int k = 0; k < ${group}; ++k) b[k][t % 2] = ${nibbles};
          }
""")
_INT4_FRAGMENTS = Template(r"""
      ${declare}
#pragma unroll
      for (int turns = 0; turns < 4; turns += 2) {
        unsigned a[kRowSteps][4];
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
#pragma unroll
          for (int turn = 0; turn < 2; ++turn) {
            const int place = turn * 2 + turns / 2;
            unsigned q[4];
            ${load_activations}
            ${add_to_row_sums}
            a[i][turn * 2] = (q[0] & 0x0f0f0f0fu) | (q[2] << 4 & 0xf0f0f0f0u);
            a[i][turn * 2 + 1] = (q[1] & 0x0f0f0f0fu) | (q[3] << 4 & 0xf0f0f0f0u);
          }
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps; j += ${group}) {
          unsigned b[${group}][2];
          ${fragments}
#pragma unroll
          for (int k = 0; k < ${group}; ++k) {
#pragma unroll
            for (int i = 0; i < kRowSteps; ++i) {
              int* d = sums + (i * 2 * kColumnSteps + j + k) * 2;
              int* e = d + kColumnSteps * 2;
              ${products}
            }
          }
        }
      }
""")

UNPACK_K32 = PackedMultiplication(
    "unpack_mma_k32",
    ASYNC_COPY,
    TALL,
    _declare_int8,
    _int8_fragments(INT8_K32),
    _finish_int8,
    added_products=ADD_BY_K32,
)
"""Codes as int8, mma.sync.m16n8k32: sm_80 and later."""
UNPACK_K16 = PackedMultiplication(
    "unpack_mma_k16",
    COPY_THROUGH_REGISTERS,
    TALL,
    _declare_int8,
    _int8_fragments(INT8_K16),
    _finish_int8,
    most_accumulators=32,
    added_products=ADD_BY_K16,
)
"""The same with mma.sync.m8n8k16: sm_75."""
INT4_K64 = PackedMultiplication(
    "mma_s4_k64",
    ASYNC_COPY,
    WIDE,
    declare_row_sums,
    _int4_fragments(mma("m16n8k64", "s4.u4", SUMS, LEFT, ("b[k][0]", "b[k][1]"))),
    _finish_fragments,
    most_weight_bits=4,
    activation_bits=range(1, 5),
    added_products=ADD_BY_K32,
)
"""Codes of 4 bits as they lie in memory, activations packed to 4 bits in registers: sm_80 to sm_89."""
INT4_K32 = PackedMultiplication(
    "mma_s4_k32",
    COPY_THROUGH_REGISTERS,
    WIDE,
    declare_row_sums,
    _int4_fragments(of_eight_rows("m8n8k32", "s4.u4", ("b[k][0]", "b[k][1]"))),
    _finish_fragments,
    most_weight_bits=4,
    activation_bits=range(1, 5),
    most_accumulators=32,
    added_products=ADD_BY_K16,
)
"""The same with mma.sync.m8n8k32: sm_75."""
