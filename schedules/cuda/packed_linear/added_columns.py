"""What is added to some columns of a packed weight, those of split channels: products of int8 of their own.

``sum x (packed + added) gain = gain (sum x packed + sum x added)``, where the second sum is over few inputs. Which
inputs they are is found while the first stages are on their way; words of four of them are put together in registers.
"""

from __future__ import annotations

from string import Template

from ...unpack import AddedValues
from ..linear.products import INT8_K16, INT8_K32

INDEX_BYTES = 4
"""Of shared memory, for each of the columns."""


def declare_added_columns(added: AddedValues) -> str:
    """Statements before the first barrier."""
    return _DECLARE.substitute(columns=added.columns)


def add_columns(added: AddedValues, products: str) -> str:
    """Statements that bring ``sums`` without the gain to those with it, and with what is added."""
    return Template(products).substitute(columns=added.columns) + _SCALE.substitute(gain=added.gain)


_DECLARE = Template(r"""
  __shared__ int added_inputs[${columns}];
#pragma unroll 1
  for (int i = thread; i < inputs; i += (int)(blockDim.x * blockDim.y)) {
    const int rank = added_index[i];
    if (rank >= 0) added_inputs[rank] = i;
  }
  // Four activations from the column ``rank`` on, and what is added to their weights; zeros beyond the last column.
  const auto activations_from = [&](int line, int rank) {
    const bool beyond = rows % kRows != 0 && first_row + line >= rows;
    const signed char* row = x + (beyond ? rows - 1 : first_row + line) * inputs;
    unsigned word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (rank + i < ${columns}) word |= (unsigned)(unsigned char)row[added_inputs[rank + i]] << i * 8;
    }
    return word;
  };
  const auto added_from = [&](int line, int rank) {
    const bool beyond = channels % kColumns != 0 && first_column + line >= channels;
    const signed char* channel = added + (beyond ? channels - 1 : first_column + line) * ${columns};
    unsigned word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (rank + i < ${columns}) word |= (unsigned)(unsigned char)channel[rank + i] << i * 8;
    }
    return word;
  };
""")
_SCALE = Template(r"""
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) sums[i] *= ${gain};
""")


def _of_fragments(products: str) -> str:
    return Template(r"""
#pragma unroll 1
  for (int first = 0; first < $${columns}; first += 32) {
    const int rank = first + lane % 4 * 4;
    unsigned a[kRowSteps][4];
#pragma unroll
    for (int i = 0; i < kRowSteps; ++i) {
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        a[i][r] = activations_from(warp_row + i * 16 + r % 2 * 8 + lane / 4, rank + r / 2 * 16);
      }
    }
#pragma unroll
    for (int j = 0; j < kColumnSteps; ++j) {
      const int column = warp_column + j * 8 + lane / 4;
      const unsigned low = added_from(column, rank), high = added_from(column, rank + 16);
#pragma unroll
      for (int i = 0; i < kRowSteps; ++i) {
        int* d = sums + (i * 2 * kColumnSteps + j) * 2;
        int* e = d + kColumnSteps * 2;
        ${products}
      }
    }
  }
""").substitute(products=products)


ADD_BY_K32 = _of_fragments(INT8_K32)
"""sm_80 and later."""
ADD_BY_K16 = _of_fragments(INT8_K16)
"""sm_75."""
ADD_BY_DP4A = r"""
#pragma unroll 1
  for (int first = 0; first < ${columns}; first += 4) {
    unsigned a[kRowSteps * 2];
#pragma unroll
    for (int i = 0; i < kRowSteps * 2; ++i) a[i] = activations_from(warp_row + i * 8 + lane / 4, first);
#pragma unroll
    for (int j = 0; j < kColumnSteps * 2; ++j) {
      const unsigned b = added_from(warp_column + j / 2 * 8 + lane % 4 * 2 + j % 2, first);
#pragma unroll
      for (int i = 0; i < kRowSteps * 2; ++i) {
        int* d = sums + i * kColumnSteps * 2 + j;
        *d = __dp4a((int)a[i], (int)b, *d);
      }
    }
  }
"""
"""sm_61 and later."""
