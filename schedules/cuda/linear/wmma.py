"""The tensor cores of sm_72, which have neither mma.sync for int8 nor ldmatrix: wmma of 16 x 16 outputs.

What a lane holds of a fragment is left open by NVIDIA (PTX ISA, "Matrix Fragments for WMMA"). The sums of 16 x 16
outputs are eight registers, as many as :mod:`.warp_tile` has of them: they are exchanged through shared memory at the
end.
"""

from __future__ import annotations

from string import Template

from ..copies import COPY_THROUGH_REGISTERS
from ..inline_ptx import wmma, wmma_load, wmma_store
from .multiplication import PIECE, Multiplication

SUMS = ("d[0]", "d[1]", "d[2]", "d[3]", "e[0]", "e[1]", "e[2]", "e[3]")
LEFT = ("a[i][0]", "a[i][1]")
RIGHT = ("b[j][0]", "b[j][1]")
_STEP = Template(r"""
        unsigned a[kRowSteps][2], b[kColumnSteps / 2][2];
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
          const signed char* address = ${left};
          ${load_left}
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps / 2; ++j) {
          const signed char* address = ${right};
          ${load_right}
        }
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
#pragma unroll
          for (int j = 0; j < kColumnSteps / 2; ++j) {
            int* d = sums + (i * 2 * kColumnSteps + j * 2) * 2;
            int* e = d + kColumnSteps * 2;
            ${products}
          }
        }
""")


def multiply_step(left: str, right: str, line: str) -> str:
    """Statements that multiply 16 inputs: of the rows ``16 i`` that begin at ``left``, and of the channels ``16 j`` at
    ``right``, each ``line`` bytes from the next one."""
    return _STEP.substitute(
        left=left,
        right=right,
        load_left=wmma_load("a", "row", "s8", LEFT, "address", line),
        load_right=wmma_load("b", "col", "s8", RIGHT, "address", line),
        products=wmma("s8", SUMS, LEFT, RIGHT),
    )


_MULTIPLY = Template(r"""
#pragma unroll
      for (int turn = 0; turn < kDepth / 16 / kSlices; ++turn) {
        const int depth_step = turn * kSlices + slice;
        ${step}
      }
""")
EXCHANGE_SUMS = Template(r"""
  __syncthreads();
  int* exchanged = (int*)staged + threadIdx.y * 256;
#pragma unroll
  for (int i = 0; i < kRowSteps; ++i) {
#pragma unroll
    for (int j = 0; j < kColumnSteps / 2; ++j) {
      int* d = sums + (i * 2 * kColumnSteps + j * 2) * 2;
      int* e = d + kColumnSteps * 2;
      ${store}
      __syncwarp();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int* from = exchanged + lane / 4 * 16 + k / 2 * 8 + lane % 4 * 2 + k % 2;
        d[k] = from[0];
        e[k] = from[8 * 16];
      }
      __syncwarp();
    }
  }
""").substitute(store=wmma_store(SUMS, "exchanged", "16"))
"""Statements that bring ``sums`` from fragments to the lanes of :mod:`.warp_tile`, through what is ``staged``."""

WMMA = Multiplication(
    "wmma",
    COPY_THROUGH_REGISTERS,
    multiply=_MULTIPLY.substitute(
        step=multiply_step(
            "left + (warp_row + i * 16) * kLine + depth_step * 16",
            "right + (warp_column + j * 16) * kLine + depth_step * 16",
            "kLine",
        )
    ),
    finish=EXCHANGE_SUMS,
    # wmma.load reads lines that are equally far apart: so many bytes put eight of them in different banks.
    padding=PIECE,
)
"""wmma.mma.m16n16k16: sm_72 and later."""
