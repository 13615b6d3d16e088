"""Packed weights on the tensor cores of sm_72: unpacked to int8 on their way to shared memory, where wmma wants them.

A stage is eight places, as in :mod:`.tile`, each 16 bytes deep. In shared memory a place of all lines is together, so
that wmma finds lines 16 bytes apart; a block unpacks every code once. What a lane holds of a fragment is left open
(PTX ISA, "Matrix Fragments for WMMA"): sums are exchanged through shared memory at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template

from ....targets.cuda import STATIC_SHARED_BYTES
from ...linear.workload import LinearWorkload
from ...unpack import PackedWeight
from ..copies import COPY_THROUGH_REGISTERS
from ..linear.strategy import DeviceFunction
from ..linear.warp_tile import WarpTile
from ..linear.wmma import EXCHANGE_SUMS, multiply_step
from .added_columns import INDEX_BYTES, add_columns, declare_added_columns
from .codes import DEPTH, PIECE, Field, code_bytes, fields, run_pieces
from .fragments import declare_row_sums, finish_codes
from .strategy import PackedTileLinear
from .tile import Operands, PackedMultiplication, function_name

STAGES = 2
"""In shared memory; one more is on its way in registers."""
TILES = tuple(
    WarpTile(warps, steps, STAGES)
    for warps, steps in (
        ((2, 2), (4, 4)),
        ((2, 2), (2, 8)),
        ((2, 2), (2, 4)),
        ((2, 2), (2, 2)),
        ((2, 2), (1, 2)),
        ((1, 4), (1, 2)),
        ((1, 2), (1, 2)),
    )
)
"""From the largest to the smallest."""


@dataclass(frozen=True)
class UnpackedTileLinear(PackedTileLinear):
    """The same where shared memory holds int8."""

    def device_function(self, tile: WarpTile, workload: LinearWorkload) -> DeviceFunction:
        of = (self.multiplication, tile, Operands.of(workload))
        return DeviceFunction(function_name(*of), function_source(*of))

    def tiles(self, workload: LinearWorkload) -> Sequence[WarpTile]:
        packed = Operands.of(workload).packed
        return [tile for tile in self.multiplication.tiles if shared_bytes(tile, packed) <= STATIC_SHARED_BYTES]


def shared_bytes(tile: WarpTile, packed: PackedWeight) -> int:
    """Of a block."""
    index_bytes = 0 if packed.added is None else packed.added.columns * INDEX_BYTES
    return STAGES * (tile.rows + tile.columns) * DEPTH + index_bytes


def function_source(multiplication: PackedMultiplication, tile: WarpTile, operands: Operands) -> str:
    """CUDA source of the function that :func:`~.tile.function_name` describes."""
    packed, copied = operands.packed, operands.alignment
    added = packed.added
    assert packed.chunk % PIECE == 0
    assert tile.threads % tile.rows == 0, "a thread copies pieces of one row"
    assert tile.rows * DEPTH % (tile.threads * PIECE) == 0
    return _FUNCTION.substitute(
        name=function_name(multiplication, tile, operands),
        added="" if added is None else "const signed char* added, const int* added_index, ",
        rows=tile.rows,
        columns=tile.columns,
        threads=tile.threads,
        warp_columns=tile.warps[1],
        row_steps=tile.steps[0],
        column_steps=tile.steps[1],
        depth=DEPTH,
        bits=packed.bits,
        run=run_pieces(packed.bits),
        bytes=copied,
        fetch=multiplication.copy.part(copied),
        store=multiplication.copy.store,
        fields="".join(_declare(field) for field in fields(packed.bits)),
        unpack=code_bytes(packed.bits, "word"),
        declare=multiplication.declare(tile, operands),
        declare_added="" if added is None else declare_added_columns(added),
        multiply=multiplication.multiply(tile, operands),
        finish=multiplication.finish(tile, operands.without_gain),
        add="" if added is None else add_columns(added, multiplication.added_products),
    )


def _declare(field: Field) -> str:
    """The two words of ``field`` that a thread has of a place."""
    return _FIELD.substitute(register=field.register, first=field.piece, width=field.width)


_FIELD = Template(r"""
        const uint2 piece${width} = codes[i][${first} + place % ${width}];
        const unsigned ${register}[2] = {piece${width}.x, piece${width}.y};
""")
_FUNCTION = Template(r"""
__device__ __forceinline__ void ${name}(int* sums, const signed char* x, const unsigned char* weight, ${added}
                                        int first_row, int first_column, int rows, int channels, int inputs) {
  constexpr int kRows = ${rows}, kColumns = ${columns}, kThreads = ${threads};
  constexpr int kRowSteps = ${row_steps}, kColumnSteps = ${column_steps}, kStageBytes = (kRows + kColumns) * ${depth};
  // Pieces of activations, all of one row, and halves of a piece's codes that a thread copies.
  constexpr int kCopies = kRows * 8 / kThreads, kHalves = kColumns * 2, kUnpacked = (kHalves + kThreads - 1) / kThreads;
  __shared__ __align__(128) signed char staged[2 * kStageBytes];
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y, thread = warp * 32 + lane;
  const int warp_row = warp / ${warp_columns} * kRowSteps * 16, warp_column = warp % ${warp_columns} * kColumnSteps * 8;
  const int steps = (inputs + ${depth} - 1) / ${depth}, place_bytes = steps * 16;
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) sums[i] = 0;
  const int line = thread % kRows, first_place = thread / kRows;
  const bool beyond_rows = rows % kRows != 0 && first_row + line >= rows;
  const signed char* const row = x + (beyond_rows ? rows - 1 : first_row + line) * inputs;
  const unsigned char* channel[kUnpacked];
#pragma unroll
  for (int i = 0; i < kUnpacked; ++i) {
    const int half = thread + i * kThreads, column = first_column + half / 2;
    const bool beyond = channels % kColumns != 0 && column >= channels;
    channel[i] = weight + (beyond ? channels - 1 : column) * (place_bytes * ${bits}) + half % 2 * 8;
  }
  // Where in a line a stage's piece is: neighbouring ones are of neighbouring places.
  const auto depth_of = [&](int piece, int step) {
    return piece / ${run} * (place_bytes * ${run}) + (step * ${run} + piece % ${run}) * 16;
  };
  int4 fetched[kCopies];
  uint2 codes[kUnpacked][${bits}];
  int row_sum = 0;
  const auto fetch = [&](int step) {
#pragma unroll
    for (int copy = 0; copy < kCopies; ++copy) {
      const int depth = depth_of(first_place + copy * (kThreads / kRows), step);
      const signed char* source = row + depth;
#pragma unroll
      for (int part = 0; part < 16; part += ${bytes}) {
        const bool inside = inputs % ${depth} == 0 || depth + part < inputs;
        ${fetch}
      }
    }
#pragma unroll
    for (int i = 0; i < kUnpacked; ++i) {
      if (kHalves % kThreads == 0 || thread + i * kThreads < kHalves) {
#pragma unroll
        for (int piece = 0; piece < ${bits}; ++piece)
          codes[i][piece] = *(const uint2*)(channel[i] + depth_of(piece, step));
      }
    }
  };
  const auto store = [&](signed char* stage) {
#pragma unroll
    for (int copy = 0; copy < kCopies; ++copy) {
      signed char* target = stage + ((first_place + copy * (kThreads / kRows)) * kRows + line) * 16;
      ${store}
      row_sum = __dp4a(fetched[copy].x, 0x01010101, __dp4a(fetched[copy].y, 0x01010101, row_sum));
      row_sum = __dp4a(fetched[copy].z, 0x01010101, __dp4a(fetched[copy].w, 0x01010101, row_sum));
    }
#pragma unroll
    for (int i = 0; i < kUnpacked; ++i) {
      const int half = thread + i * kThreads;
      if (kHalves % kThreads == 0 || half < kHalves) {
#pragma unroll
        for (int place = 0; place < 4; ++place) {
          ${fields}
          unsigned first[2], second[2];
#pragma unroll
          for (int word = 0; word < 2; ++word) {
            ${unpack}
            first[word] = low;
            second[word] = high;
          }
          signed char* target = stage + kRows * ${depth} + place * (kColumns * 16) + half * 8;
          *(uint2*)target = make_uint2(first[0], first[1]);
          *(uint2*)(target + 4 * kColumns * 16) = make_uint2(second[0], second[1]);
        }
      }
    }
  };
  ${declare_added}
  fetch(0);
  store(staged);
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    __syncthreads();
    const bool more = step + 1 < steps;
    if (more) fetch(step + 1);
    const signed char* left = staged + step % 2 * kStageBytes;
    const signed char* right = left + kRows * ${depth};
    ${multiply}
    if (more) store(staged + (step + 1) % 2 * kStageBytes);
  }
  ${declare}
  ${finish}
  ${add}
}
""")


def _multiply(tile: WarpTile, operands: Operands) -> str:
    step = multiply_step(
        "left + (place * kRows + warp_row + i * 16) * 16",
        "right + (place * kColumns + warp_column + j * 16) * 16",
        "16",
    )
    return f"""
#pragma unroll
    for (int place = 0; place < 8; ++place) {{
      {step}
    }}
"""


def _finish(tile: WarpTile, operands: Operands) -> str:
    return _ADD_ROW_SUMS + EXCHANGE_SUMS + finish_codes(tile, operands)


_ADD_ROW_SUMS = r"""
  __syncthreads();
  int* row_parts = (int*)staged;
  row_parts[thread] = row_sum;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kRowSteps * 2; ++i) {
#pragma unroll
    for (int part = 0; part < kThreads / kRows; ++part)
      row_sums[i / 2][i % 2] += row_parts[part * kRows + warp_row + i * 8 + lane / 4];
  }
"""

UNPACK_WMMA = PackedMultiplication("unpack_wmma", COPY_THROUGH_REGISTERS, TILES, declare_row_sums, _multiply, _finish)
"""Codes as int8, wmma.mma.m16n16k16: sm_72 and later."""
