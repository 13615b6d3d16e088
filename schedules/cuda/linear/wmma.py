"""The tensor cores of sm_72, which have neither mma.sync for int8 nor ldmatrix: wmma of 16 x 16 outputs.

What a lane holds of a fragment is left open by NVIDIA (PTX ISA, "Matrix Fragments for WMMA"). The sums of 16 x 16
outputs are eight registers, as many as :mod:`.warp_tile` has of them: they are exchanged through shared memory at the
end.
"""

from __future__ import annotations

from string import Template

from .warp_tile import PIECE, through_registers

_SUMS = ("d[0]", "d[1]", "d[2]", "d[3]", "e[0]", "e[1]", "e[2]", "e[3]")
_LEFT = ("a[i][0]", "a[i][1]")
_RIGHT = ("b[j][0]", "b[j][1]")


def _load(operand: str, layout: str, registers: tuple[str, ...]) -> str:
    """16 lines of 16 bytes, ``kLine`` apart, from the generic pointer ``address``; PTX ISA, "wmma.load"."""
    outputs = ", ".join(f'"=r"({register})' for register in registers)
    text = f"wmma.load.{operand}.sync.aligned.{layout}.m16n16k16.shared.s8 {{%0, %1}}, [%2], %3;"
    inputs = '"r"((unsigned)__cvta_generic_to_shared(address)), "r"(kLine)'
    return f'asm volatile("{text}" : {outputs} : {inputs} : "memory");'


def _products() -> str:
    """PTX ISA, "wmma.mma"."""
    sums = "{%0, %1, %2, %3, %4, %5, %6, %7}"
    text = f"wmma.mma.sync.aligned.row.col.m16n16k16.s32.s8.s8.s32 {sums}, {{%8, %9}}, {{%10, %11}}, {sums};"
    outputs = ", ".join(f'"+r"({register})' for register in _SUMS)
    inputs = ", ".join(f'"r"({register})' for register in (*_LEFT, *_RIGHT))
    return f'asm volatile("{text}" : {outputs} : {inputs});'


def _store() -> str:
    """16 x 16 sums to the generic pointer ``exchanged``; PTX ISA, "wmma.store"."""
    text = "wmma.store.d.sync.aligned.row.m16n16k16.shared.s32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8}, 16;"
    inputs = ", ".join(f'"r"({register})' for register in _SUMS)
    return f'asm volatile("{text}" : : "r"((unsigned)__cvta_generic_to_shared(exchanged)), {inputs} : "memory");'


_MULTIPLY = Template(r"""
#pragma unroll
      for (int depth_step = 0; depth_step < kDepth / 16; ++depth_step) {
        unsigned a[kRowSteps][2], b[kColumnSteps / 2][2];
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
          const signed char* address = left + (warp_row + i * 16) * kLine + depth_step * 16;
          ${load_left}
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps / 2; ++j) {
          const signed char* address = right + (warp_column + j * 16) * kLine + depth_step * 16;
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
      }
""")
_FINISH = Template(r"""
  __syncthreads();
  int* exchanged = (int*)staged + warp * 256;
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
""")

WMMA = through_registers(
    "wmma",
    multiply=_MULTIPLY.substitute(
        load_left=_load("a", "row", _LEFT), load_right=_load("b", "col", _RIGHT), products=_products()
    ),
    finish=_FINISH.substitute(store=_store()),
    # wmma.load reads lines that are equally far apart: so many bytes put eight of them in different banks.
    padding=PIECE,
)
"""wmma.mma.m16n16k16: sm_72 and later."""
