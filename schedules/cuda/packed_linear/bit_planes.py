"""Weights of -1 and 1 times the bits of the activations, by the tensor cores' exclusive or.

A weight is ``2 b - 1``. Of an activation of ``n`` bits in two's complement, bit ``p`` counts ``s_p = 2^p``, the last
one ``-2^(n-1)``; together they are -1. The bits ``p`` of all activations are a plane, and

    sum x_p (2 b - 1) = sum b - sum (x_p xor b),    so    sum x (2 b - 1) = - sum b - sum_p s_p popc(x_p xor b)

exactly. A lane holds four bytes of each of the eight places: they are transposed to eight words of one bit each, in the
order in which a byte of the weight's plane holds the bits of the places.
"""

from __future__ import annotations

from collections.abc import Callable
from string import Template

from ..copies import ASYNC_COPY, COPY_THROUGH_REGISTERS, Copy
from ..inline_ptx import choose_bits, mma
from ..linear.warp_tile import WarpTile
from .added_columns import ADD_BY_K16, ADD_BY_K32
from .fragments import LOAD_ACTIVATIONS, WIDE, declare_codes, group_size, load_codes
from .tile import Operands, PackedMultiplication


def _declare(tile: WarpTile, operands: Operands) -> str:
    return (
        f"int different[{operands.activation_bits}][kRowSteps][kColumnSteps][4] = {{}};\n"
        "  int column_ones[kColumnSteps] = {};\n"
    )


def _planes(products: str) -> Callable[[WarpTile, Operands], str]:
    def multiply(tile: WarpTile, operands: Operands) -> str:
        return _PLANES.substitute(
            declare=declare_codes(1),
            group=group_size(tile),
            load_codes=load_codes(tile, 1),
            load_activations=LOAD_ACTIVATIONS,
            transpose=_transpose("bits"),
            planes=operands.activation_bits,
            products=products,
        )

    return multiply


def _transpose(words: str) -> str:
    """Bit ``p`` of byte ``i`` of word ``q`` becomes bit ``q`` of byte ``i`` of word ``p`` (Warren, Hacker's Delight,
    section 7-3)."""
    statements = []
    for distance, mask in ((4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        for index in range(8):
            if index & distance == 0:
                low, high, chosen = f"{words}[{index}]", f"{words}[{index + distance}]", f"{mask:#010x}u"
                statements.append(
                    f"{{ unsigned first, second;\n{choose_bits('first', chosen, low, f'{high} << {distance}')}"
                    f"{choose_bits('second', chosen, f'{low} >> {distance}', high)}{low} = first, {high} = second; }}\n"
                )
    return "".join(statements)


_PLANES = Template(r"""
      ${declare}
#pragma unroll
      for (int j = 0; j < kColumnSteps; j += ${group}) {
        const int t = 0, place = 0;
        ${load_codes}
      }
#pragma unroll
      for (int j = 0; j < kColumnSteps; ++j) column_ones[j] += __popc(field1[j]);
#pragma unroll
      for (int i = 0; i < kRowSteps; ++i) {
        unsigned plane[2][8];
#pragma unroll
        for (int place = 0; place < 4; ++place) {
          unsigned q[4];
          ${load_activations}
          plane[0][place] = q[0];
          plane[1][place] = q[1];
          plane[0][place + 4] = q[2];
          plane[1][place + 4] = q[3];
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          unsigned* bits = plane[half];
          ${transpose}
        }
#pragma unroll
        for (int p = 0; p < ${planes}; ++p) {
#pragma unroll
          for (int j = 0; j < kColumnSteps; ++j) {
            int* d = different[p][i][j];
            ${products}
          }
        }
      }
""")


def _finish(tile: WarpTile, operands: Operands) -> str:
    assert operands.packed.step == -2 * operands.packed.offset, "the values of one bit are opposite"
    return _FINISH.substitute(planes=operands.activation_bits, offset=operands.packed.offset)


_FINISH = Template(r"""
#pragma unroll
  for (int j = 0; j < kColumnSteps; ++j) {
    int ones = column_ones[j];
    ones += __shfl_xor_sync(0xffffffffu, ones, 1);
    ones += __shfl_xor_sync(0xffffffffu, ones, 2);
    // A group had loaded one column; its lanes hold the sums of two others.
    const int of_column[2] = {__shfl_sync(0xffffffffu, ones, lane % 4 * 8),
                              __shfl_sync(0xffffffffu, ones, lane % 4 * 8 + 4)};
#pragma unroll
    for (int i = 0; i < kRowSteps * 4; ++i) {
      int sum = of_column[i % 2];
#pragma unroll
      for (int p = 0; p < ${planes}; ++p) {
        const int count = different[p][i / 4][j][i % 4];
        sum += p == ${planes} - 1 ? -(count << p) : count << p;
      }
      sums[(i / 2 * kColumnSteps + j) * 2 + i % 2] = sum * (${offset});
    }
  }
""")


def _accumulators(operands: Operands) -> int:
    return operands.activation_bits


_SUMS = ("d[0]", "d[1]", "d[2]", "d[3]")
_ROWS = ("plane[0][p]", "plane[1][p]")
_COLUMNS = ("field1[j]",)


def _bit_planes(
    name: str, copy: Copy, products: str, activation_bits: range, added_products: str
) -> PackedMultiplication:
    return PackedMultiplication(
        name,
        copy,
        WIDE[1:],  # the largest tile takes all registers for the sums of one plane
        _declare,
        _planes(products),
        _finish,
        most_weight_bits=1,
        activation_bits=activation_bits,
        accumulators=_accumulators,
        added_products=added_products,
    )


FEW, MANY = range(1, 3), range(3, 9)
"""Bits of the activations for which one product of 1 bit each takes less, and more, than a product of 4 or 8 bits: an
estimate from the instructions of the main loops and the rates of sm_80 (s4 twice, b1 eight times that of s8)."""

_M16 = mma("m16n8k128", "b1.b1", _SUMS, _ROWS, _COLUMNS, ".xor.popc")
FEW_PLANES_M16 = _bit_planes("mma_b1_m16_few", ASYNC_COPY, _M16, FEW, ADD_BY_K32)
MANY_PLANES_M16 = _bit_planes("mma_b1_m16_many", ASYNC_COPY, _M16, MANY, ADD_BY_K32)
"""mma.sync.m16n8k128: sm_80 to sm_89."""

_M8 = "".join(
    mma("m8n8k128", "b1.b1", _SUMS[half * 2 : half * 2 + 2], (_ROWS[half],), _COLUMNS, ".xor.popc") for half in (0, 1)
)
FEW_PLANES_M8 = _bit_planes("mma_b1_m8_few", COPY_THROUGH_REGISTERS, _M8, FEW, ADD_BY_K16)
MANY_PLANES_M8 = _bit_planes("mma_b1_m8_many", COPY_THROUGH_REGISTERS, _M8, MANY, ADD_BY_K16)
"""The same with mma.sync.m8n8k128: sm_75."""
