"""CUDA device functions that multiply a block's tile: operands staged through shared memory, sums in registers.

All of them leave the sums where :mod:`.warp_tile` says. Inputs beyond the operands' are read as zeros, rows and
channels as the last.

A stage is 64 or 128 bytes of the depth: a line of shared memory for every row and channel. Its 16-byte pieces are
exchanged by the lowest bits of the line's number, so that the eight lines that ``ldmatrix`` reads at once lie in
different banks. The loop over the stages is unrolled by the buffers that they take turns in: which buffer it is, and
what is beyond rows, channels and inputs, is then known to the compiler, for a workload's sizes are constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from ....targets.cuda import STATIC_SHARED_BYTES
from ..copies import Copy
from .slices import EXCHANGE, KEEP
from .warp_tile import WarpTile

PIECE = 16
"""Bytes of a line that a thread copies."""
DEPTH_STEP = 32
"""Inputs that a warp multiplies at once, at most."""
ALIGNMENT = 128
"""Of shared memory: all banks."""
DEPTHS = (128, 64)
"""Inputs of a stage: a deeper one needs fewer barriers."""


@dataclass(frozen=True)
class Multiplication:
    """How a stage is copied and multiplied."""

    name: str
    copy: Copy
    multiply: str
    offsets: str = ""
    """Declarations that ``multiply`` uses: where in a stage a lane reads."""
    finish: str = ""
    """Statements after the last stage."""
    padding: int = 0
    """Bytes behind a line of shared memory, in place of the exchange of pieces."""
    most_sums: int = 128
    """Registers of a thread that may hold sums: the others hold operands."""

    def stages(self, tile: WarpTile) -> int:
        """Of ``tile`` in shared memory: where one more is in registers, two are enough."""
        return 2 if self.copy.store else tile.stages

    def keeps(self, tile: WarpTile) -> bool:
        """Whether it has the stages of ``tile``: two in shared memory and one in registers are three."""
        return not self.copy.store or tile.stages == self.stages(tile) + 1

    def depth(self, tile: WarpTile, most_bytes: int = STATIC_SHARED_BYTES) -> int | None:
        """Inputs of a stage: of the :data:`DEPTHS` that give every slice a step, the most that ``most_bytes`` of shared
        memory hold, the least where registers must hold a stage too. None: they hold none."""
        depths = [
            depth
            for depth in DEPTHS
            if depth >= tile.slices * DEPTH_STEP and self.shared_bytes(tile, depth) <= most_bytes
        ]
        if not depths:
            return None
        return depths[-1] if self.copy.store else depths[0]

    def shared_bytes(self, tile: WarpTile, depth: int) -> int:
        """Of a block with stages of ``depth`` inputs: what the slices exchange replaces what was staged."""
        staged = self.stages(tile) * (tile.rows + tile.columns) * (depth + self.padding)
        return max(staged, tile.exchanged_bytes)


def function_name(multiplication: Multiplication, tile: WarpTile, alignment: int = PIECE) -> str:
    """Of the device function ``(int* finished, const signed char* x, const signed char* weight, int first_row, int
    first_column, int rows, int channels, int inputs)``; all threads of the block call it. Where the block needs more
    shared memory than it may declare, the first argument is ``signed char* staged``, which points to it."""
    return f"intbert_{multiplication.name}_{tile}_{alignment}"


def function_source(multiplication: Multiplication, tile: WarpTile, depth: int, alignment: int = PIECE) -> str:
    """Its CUDA source, with stages of ``depth`` inputs; lines in memory are multiples of ``alignment`` bytes."""
    stages, copy = multiplication.stages(tile), multiplication.copy
    shared_bytes = multiplication.shared_bytes(tile, depth)
    declares = shared_bytes <= STATIC_SHARED_BYTES
    return _FUNCTION.substitute(
        name=function_name(multiplication, tile, alignment),
        argument="" if declares else "signed char* staged, ",
        declaration=f"__shared__ __align__({ALIGNMENT}) signed char staged[{shared_bytes}];" if declares else "",
        rows=tile.rows,
        columns=tile.columns,
        threads=tile.threads,
        warps=tile.warps[0] * tile.warps[1],
        slices=tile.slices,
        warp_columns=tile.warps[1],
        row_steps=tile.steps[0],
        column_steps=tile.steps[1],
        stages=stages,
        depth=depth,
        padding=multiplication.padding,
        piece=PIECE,
        bytes=alignment,
        fetch=copy.part(alignment),
        store=copy.store,
        commit=copy.commit,
        wait=copy.wait.replace("PENDING", str(stages - 2)),
        drain=copy.wait.replace("PENDING", "0"),
        multiply=multiplication.multiply,
        offsets=multiplication.offsets,
        finish=multiplication.finish,
        exchange=KEEP if tile.slices == 1 else EXCHANGE,
    )


_FUNCTION = Template(r"""
__device__ __forceinline__ void ${name}(${argument}int* finished, const signed char* x, const signed char* weight,
                                        int first_row, int first_column, int rows, int channels, int inputs) {
  constexpr int kRows = ${rows}, kColumns = ${columns}, kThreads = ${threads}, kStages = ${stages};
  constexpr int kRowSteps = ${row_steps}, kColumnSteps = ${column_steps}, kDepth = ${depth};
  constexpr int kWarps = ${warps}, kSlices = ${slices}, kSums = kRowSteps * kColumnSteps * 4;
  constexpr int kLine = kDepth + ${padding}, kLinePieces = kDepth / ${piece}, kStageBytes = (kRows + kColumns) * kLine;
  constexpr int kPieces = (kRows + kColumns) * kLinePieces, kCopies = (kPieces + kThreads - 1) / kThreads;
  constexpr int kLines = kThreads / kLinePieces;
  ${declaration}
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y % kWarps;
  const int slice = kSlices == 1 ? 0 : (int)threadIdx.y / kWarps;
  const int warp_row = warp / ${warp_columns} * kRowSteps * 16, warp_column = warp % ${warp_columns} * kColumnSteps * 8;
  const int steps = (inputs + kDepth - 1) / kDepth;
  // Where a piece of a line is.
  const auto place_of = [](int line, int piece) {
    return line * kLine + (kLine == kDepth ? (piece ^ (line * kLinePieces / 8)) & (kLinePieces - 1) : piece) * ${piece};
  };
  int sums[kSums];
#pragma unroll
  for (int i = 0; i < kSums; ++i) sums[i] = 0;
  // What a thread copies: the same piece of the depth, of lines whose numbers are multiples of 8 apart. Where all of
  // them exist they are so many bytes apart, and one pointer is enough for all lines of an operand.
  const int first = (int)threadIdx.y * 32 + lane, depth = first % kLinePieces * ${piece};
  signed char* const targets = staged + place_of(first / kLinePieces, first % kLinePieces);
  const signed char* x_source = x + ((first_row + first / kLinePieces) * inputs + depth);
  const signed char* weight_source = weight + ((first_column + first / kLinePieces) * inputs + depth);
  const bool whole_rows = kRows % kLines == 0 && rows % kRows == 0;
  const bool whole_columns = kRows % kLines == 0 && channels % kColumns == 0;
  const signed char* sources[kCopies];
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int line = first / kLinePieces + i * kLines;
    const bool of_x = line < kRows;
    const int row = of_x ? first_row + line : first_column + line - kRows, last = (of_x ? rows : channels) - 1;
    sources[i] = (of_x ? x : weight) + ((row > last ? last : row) * inputs + depth);
  }
  const auto source_of = [&](int i) {
    if (i * kLines < kRows) return whole_rows ? x_source + i * kLines * inputs : sources[i];
    return whole_columns ? weight_source + (i * kLines - kRows) * inputs : sources[i];
  };
  int4 fetched[kCopies];
  const auto fetch = [&](int stage, int offset, int inputs_left) {
#pragma unroll
    for (int copy = 0; copy < kCopies; ++copy) {
      if (kPieces % kThreads == 0 || first + copy * kThreads < kPieces) {
        const signed char* source = source_of(copy) + offset;
        signed char* target = targets + stage * kStageBytes + copy * (kLines * kLine);
#pragma unroll
        for (int part = 0; part < ${piece}; part += ${bytes}) {
          const bool inside = part < inputs_left;
          ${fetch}
        }
      }
    }
  };
  const auto store = [&](int stage) {
#pragma unroll
    for (int copy = 0; copy < kCopies; ++copy) {
      if (kPieces % kThreads == 0 || first + copy * kThreads < kPieces) {
        signed char* target = targets + stage * kStageBytes + copy * (kLines * kLine);
        ${store}
      }
    }
  };
  ${offsets}
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < steps) {
      fetch(stage, stage * kDepth, inputs % kDepth == 0 ? ${piece} : inputs - stage * kDepth - depth);
      store(stage);
    }
    ${commit}
  }
#pragma unroll 1
  for (int step = 0; step < steps; step += kStages) {
#pragma unroll
    for (int stage = 0; stage < kStages; ++stage) {
      if (steps % kStages != 0 && step + stage >= steps) break;
      ${wait}
      __syncthreads();
      const int ahead = stage + kStages - 1;
      // Where the last turn is a whole one, all but its first stage are the last of their buffers.
      const bool more = step + (steps % kStages != 0 || stage == 0 ? ahead : kStages) < steps;
      const int inputs_left = inputs % kDepth == 0 ? ${piece} : inputs - (step + ahead) * kDepth - depth;
      if (more) fetch(ahead % kStages, ahead * kDepth, inputs_left);
      ${commit}
      const signed char* left = staged + stage * kStageBytes;
      const signed char* right = left + kRows * kLine;
      ${multiply}
      if (more) store(ahead % kStages);
    }
#pragma unroll
    for (int i = 0; i < kCopies; ++i) sources[i] += kStages * kDepth;
    x_source += kStages * kDepth;
    weight_source += kStages * kDepth;
  }
  ${drain}
  ${finish}
  ${exchange}
}
""")
