"""Packed weights without tensor cores: unpacked to int8, four products an instruction."""

from __future__ import annotations

from string import Template

from ..copies import COPY_THROUGH_REGISTERS
from ..linear.warp_tile import WarpTile
from .codes import Field, code_bytes, fields
from .copies import turn_of_piece
from .fragments import WIDE, declare_row_sums, finish_codes
from .tile import Operands, PackedMultiplication


def _multiply(tile: WarpTile, operands: Operands) -> str:
    bits = operands.packed.bits
    loads = "".join(_load(field, bits) for field in fields(bits))
    return _DOT_PRODUCTS.substitute(loads=loads, unpack=code_bytes(bits, "word"))


def _load(field: Field, bits: int) -> str:
    return _LOAD.substitute(
        register=field.register,
        first=field.piece,
        width=field.width,
        turn=turn_of_piece(bits),
        piece=f"piece{field.width}",
    )


_LOAD = Template(r"""
          const int ${piece} = ${first} + place % ${width};
          const auto* ${register} =
              (const unsigned*)(right + (${piece} * kColumns + (column ^ ${piece} * ${turn})) * 16 + part * 8);
""")
_DOT_PRODUCTS = Template(r"""
#pragma unroll 1
      for (int half_place = 0; half_place < 8; ++half_place) {
        const int place = half_place / 2, part = half_place % 2;
        int a[kRowSteps * 2][2][2];
#pragma unroll
        for (int i = 0; i < kRowSteps * 2; ++i) {
#pragma unroll
          for (int k = 0; k < 2; ++k) {
            const int row = warp_row + i * 8 + lane / 4, each = place + k * 4;
            const int2 pair = *(const int2*)(left + (each * kRows + (row ^ each)) * 16 + part * 8);
            a[i][k][0] = pair.x;
            a[i][k][1] = pair.y;
            row_sums[i / 2][i % 2] = __dp4a(pair.x, 0x01010101, __dp4a(pair.y, 0x01010101, row_sums[i / 2][i % 2]));
          }
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps * 2; ++j) {
          const int column = warp_column + j / 2 * 8 + lane % 4 * 2 + j % 2;
          ${loads}
#pragma unroll
          for (int word = 0; word < 2; ++word) {
            ${unpack}
#pragma unroll
            for (int i = 0; i < kRowSteps * 2; ++i) {
              int* d = sums + i * kColumnSteps * 2 + j;
              *d = __dp4a(a[i][1][word], (int)high, __dp4a(a[i][0][word], (int)low, *d));
            }
          }
        }
      }
""")
UNPACK_DP4A = PackedMultiplication(
    "unpack_dp4a", COPY_THROUGH_REGISTERS, WIDE, declare_row_sums, _multiply, finish_codes, most_accumulators=32
)
"""sm_61 and later."""
