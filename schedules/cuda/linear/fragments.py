"""Products of fragments that ``ldmatrix`` loads, by ``mma.sync``."""

from __future__ import annotations

from string import Template

from ..copies import ASYNC_COPY, COPY_THROUGH_REGISTERS
from ..inline_ptx import ldmatrix, mma
from .multiplication import Multiplication
from .products import LEFT, SUMS, of_eight_rows

_RIGHT = ("w[0]", "w[1]")
_LOAD_FRAGMENTS = Template(r"""
#pragma unroll
      for (int depth_step = 0; depth_step < kDepth / 32 / kSlices; ++depth_step) {
        unsigned a[kRowSteps][4], b[kColumnSteps / 2][4];
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
          const signed char* address = left + left_offset[depth_step] + i * (16 * kLine);
          ${load_left}
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps / 2; ++j) {
          const signed char* address = right + right_offset[depth_step] + j * (16 * kLine);
          ${load_right}
        }
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
#pragma unroll
          for (int j = 0; j < kColumnSteps; ++j) {
            int* d = sums + (i * 2 * kColumnSteps + j) * 2;
            int* e = d + kColumnSteps * 2;
            const unsigned* w = b[j / 2] + j % 2 * 2;
            ${products}
          }
        }
      }
""")
_FRAGMENT_OFFSETS = r"""
  const int left_row = warp_row + lane % 16, right_row = warp_column + lane % 8 + lane / 16 * 8;
  int left_offset[kDepth / 32 / kSlices], right_offset[kDepth / 32 / kSlices];
#pragma unroll
  for (int i = 0; i < kDepth / 32 / kSlices; ++i) {
    const int piece = (i * kSlices + slice) * 2;
    left_offset[i] = place_of(left_row, piece + lane / 16);
    right_offset[i] = place_of(right_row, piece + lane / 8 % 2);
  }
"""


def _fragments(products: str) -> str:
    def load(registers: str) -> str:
        return ldmatrix([f"{registers}[{index}]" for index in range(4)], "address")

    return _LOAD_FRAGMENTS.substitute(load_left=load("a[i]"), load_right=load("b[j]"), products=products)


MMA_K32 = Multiplication(
    "mma_k32",
    ASYNC_COPY,
    _fragments(mma("m16n8k32", "s8.s8", SUMS, LEFT, _RIGHT)),
    _FRAGMENT_OFFSETS,
)
"""mma.sync.m16n8k32 and cp.async: sm_80 and later."""
MMA_K16 = Multiplication(
    "mma_k16",
    COPY_THROUGH_REGISTERS,
    _fragments(of_eight_rows("m8n8k16", "s8.s8", _RIGHT)),
    _FRAGMENT_OFFSETS,
)
"""mma.sync.m8n8k16, a stage on its way in registers while another one is multiplied: sm_75."""
