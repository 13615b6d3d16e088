"""CUDA device functions that multiply a block's tile: operands staged through shared memory, sums in registers.

All of them leave the sums where ``mma.sync`` does. A warp has ``16 row_steps x 8 column_steps`` outputs; of each
16 x 8, lane ``4 group + place`` has rows ``group`` and ``group + 8``, columns ``2 place`` and ``2 place + 1`` (PTX
ISA, "Matrix Fragments for mma.m16n8k32"). Inputs beyond the operands' are read as zeros, rows and channels as the last.

A stage is 64 or 128 bytes of the depth: a line of shared memory for every row and channel. Its 16-byte pieces are
exchanged by the lowest bits of the line's number, so that the eight lines that ``ldmatrix`` reads at once lie in
different banks. The loop over the stages is unrolled by the buffers that they take turns in: which buffer it is, and
what is beyond rows, channels and inputs, is then known to the compiler, for a workload's sizes are constants.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from string import Template

from ....targets.cuda import STATIC_SHARED_BYTES
from ..inline_ptx import ldmatrix, mma

WARP_LANES = 32
PIECE = 16
"""Bytes that are copied at once; the inputs are a multiple of it."""
DEPTHS = (128, 64)
"""Inputs of a stage: a deeper one needs fewer barriers."""


@dataclass(frozen=True)
class WarpTile:
    """``warps``: (rows, columns) of the block; ``steps``: 16-row and 8-column steps of a warp; ``stages``: of the
    operands in shared memory, one more than are being copied."""

    warps: tuple[int, int]
    steps: tuple[int, int]
    stages: int

    def __post_init__(self) -> None:
        assert self.steps[1] % 2 == 0, "weights are loaded for two column steps at once"
        assert self.stages >= 2

    @property
    def rows(self) -> int:
        """Of the block."""
        return self.warps[0] * self.steps[0] * 16

    @property
    def columns(self) -> int:
        """Of the block."""
        return self.warps[1] * self.steps[1] * 8

    @property
    def threads(self) -> int:
        """Of the block."""
        return self.warps[0] * self.warps[1] * WARP_LANES

    @property
    def registers(self) -> int:
        """A thread's sums."""
        return self.steps[0] * self.steps[1] * 4

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}_{self.warps[0]}x{self.warps[1]}_{self.stages}"


@dataclass(frozen=True)
class Multiplication:
    """How a stage is copied and multiplied."""

    name: str
    copy: str
    """Statements that bring 16 bytes from ``source`` to ``target``, zeros where not ``inside``."""
    commit: str
    wait: str
    """Until all but ``PENDING`` of the committed copies are in shared memory."""
    multiply: str
    offsets: str = ""
    """Declarations that ``multiply`` uses: where in a stage a lane reads."""
    finish: str = ""
    """Statements after the last stage."""
    fetch: str = ""
    store: str = ""
    """Where ``copy`` passes registers, its two halves, to and from ``fetched``: a stage is multiplied meanwhile."""
    padding: int = 0
    """Bytes behind a line of shared memory, in place of the exchange of pieces."""
    most_sums: int = 128
    """Registers of a thread that may hold sums: the others hold operands."""

    def stages(self, tile: WarpTile) -> int:
        """Of ``tile`` in shared memory: where one more is in registers, two are enough."""
        return 2 if self.fetch else tile.stages

    def depth(self, tile: WarpTile) -> int:
        """Inputs of a stage: the most of :data:`DEPTHS` that a block has shared memory for, the least that registers
        must hold."""
        if self.fetch:
            return min(DEPTHS)
        lines = self.stages(tile) * (tile.rows + tile.columns)
        return next(depth for depth in DEPTHS if lines * (depth + self.padding) <= STATIC_SHARED_BYTES)


def function_name(multiplication: Multiplication, tile: WarpTile) -> str:
    """Of the device function ``(int* sums, const signed char* x, const signed char* weight, int first_row, int
    first_column, int rows, int channels, int inputs)``; all threads of the block call it."""
    return f"intbert_{multiplication.name}_{tile}"


def function_source(multiplication: Multiplication, tile: WarpTile) -> str:
    """Its CUDA source."""
    stages = multiplication.stages(tile)
    return _FUNCTION.substitute(
        name=function_name(multiplication, tile),
        rows=tile.rows,
        columns=tile.columns,
        threads=tile.threads,
        warp_columns=tile.warps[1],
        row_steps=tile.steps[0],
        column_steps=tile.steps[1],
        stages=stages,
        depth=multiplication.depth(tile),
        padding=multiplication.padding,
        piece=PIECE,
        fetch=multiplication.fetch or multiplication.copy,
        store=multiplication.store,
        commit=multiplication.commit,
        wait=multiplication.wait.replace("PENDING", str(stages - 2)),
        drain=multiplication.wait.replace("PENDING", "0"),
        multiply=multiplication.multiply,
        offsets=multiplication.offsets,
        finish=multiplication.finish,
    )


_FUNCTION = Template(r"""
__device__ __forceinline__ void ${name}(int* sums, const signed char* x, const signed char* weight, int first_row,
                                        int first_column, int rows, int channels, int inputs) {
  constexpr int kRows = ${rows}, kColumns = ${columns}, kThreads = ${threads}, kStages = ${stages};
  constexpr int kRowSteps = ${row_steps}, kColumnSteps = ${column_steps}, kDepth = ${depth};
  constexpr int kLine = kDepth + ${padding}, kLinePieces = kDepth / ${piece}, kStageBytes = (kRows + kColumns) * kLine;
  constexpr int kPieces = (kRows + kColumns) * kLinePieces, kCopies = (kPieces + kThreads - 1) / kThreads;
  __shared__ __align__(128) signed char staged[kStages * kStageBytes];
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y;
  const int warp_row = warp / ${warp_columns} * kRowSteps * 16, warp_column = warp % ${warp_columns} * kColumnSteps * 8;
  const int steps = (inputs + kDepth - 1) / kDepth;
  // Where a piece of a line is.
  const auto place_of = [](int line, int piece) {
    return line * kLine + (kLine == kDepth ? (piece ^ (line * kLinePieces / 8)) & (kLinePieces - 1) : piece) * ${piece};
  };
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) sums[i] = 0;
  // What a thread copies: the same piece of the depth, of lines whose numbers are multiples of 8 apart.
  const int first = warp * 32 + lane, depth = first % kLinePieces * ${piece};
  signed char* const targets = staged + place_of(first / kLinePieces, first % kLinePieces);
  const signed char* sources[kCopies];
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int line = (first + i * kThreads) / kLinePieces;
    const bool of_x = line < kRows, ragged = of_x ? rows % kRows != 0 : channels % kColumns != 0;
    const int row = of_x ? first_row + line : first_column + line - kRows, last = (of_x ? rows : channels) - 1;
    sources[i] = (of_x ? x : weight) + ((ragged && row > last ? last : row) * inputs + depth);
  }
  int4 fetched[kCopies];
  const auto fetch = [&](int stage, int offset, bool inside) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      if (kPieces % kThreads == 0 || first + i * kThreads < kPieces) {
        const signed char* source = sources[i] + offset;
        signed char* target = targets + stage * kStageBytes + i * (kThreads / kLinePieces * kLine);
        ${fetch}
      }
    }
  };
  const auto store = [&](int stage) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      if (kPieces % kThreads == 0 || first + i * kThreads < kPieces) {
        signed char* target = targets + stage * kStageBytes + i * (kThreads / kLinePieces * kLine);
        ${store}
      }
    }
  };
  ${offsets}
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < steps) {
      fetch(stage, stage * kDepth, inputs % kDepth == 0 || stage * kDepth + depth < inputs);
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
      const bool inside = inputs % kDepth == 0 || (step + ahead) * kDepth + depth < inputs;
      if (more) fetch(ahead % kStages, ahead * kDepth, inside);
      ${commit}
      const signed char* left = staged + stage * kStageBytes;
      const signed char* right = left + kRows * kLine;
      ${multiply}
      if (more) store(ahead % kStages);
    }
#pragma unroll
    for (int i = 0; i < kCopies; ++i) sources[i] += kStages * kDepth;
  }
  ${drain}
  ${finish}
}
""")

_ASYNC_COPY = r"""asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : :
                     "r"((unsigned)__cvta_generic_to_shared(target)), "l"(source), "r"(inside ? 16 : 0) : "memory");
"""
_ASYNC_COMMIT = 'asm volatile("cp.async.commit_group;" : : : "memory");\n'
_ASYNC_WAIT = 'asm volatile("cp.async.wait_group PENDING;" : : : "memory");\n'
_PIECE_OF_SOURCE = "inside ? *(const int4*)source : make_int4(0, 0, 0, 0)"

_LOAD_FRAGMENTS = Template(r"""
#pragma unroll
      for (int depth_step = 0; depth_step < kDepth / 32; ++depth_step) {
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
  int left_offset[kDepth / 32], right_offset[kDepth / 32];
#pragma unroll
  for (int i = 0; i < kDepth / 32; ++i) {
    left_offset[i] = place_of(left_row, i * 2 + lane / 16);
    right_offset[i] = place_of(right_row, i * 2 + lane / 8 % 2);
  }
"""


def _fragments(products: str) -> str:
    def load(registers: str) -> str:
        return ldmatrix([f"{registers}[{index}]" for index in range(4)], "address")

    return _LOAD_FRAGMENTS.substitute(load_left=load("a[i]"), load_right=load("b[j]"), products=products)


_SUMS = ("d[0]", "d[1]", "e[0]", "e[1]")
_LEFT = ("a[i][0]", "a[i][1]", "a[i][2]", "a[i][3]")
_RIGHT = ("w[0]", "w[1]")
_DOT_PRODUCTS = r"""
#pragma unroll 1
      for (int piece = 0; piece < kLinePieces; ++piece) {
        int4 a[kRowSteps * 2];
#pragma unroll
        for (int i = 0; i < kRowSteps * 2; ++i) {
          a[i] = *(const int4*)(left + place_of(warp_row + lane / 4, piece) + i * (8 * kLine));
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps * 2; ++j) {
          const int column = warp_column + lane % 4 * 2 + j % 2;
          const int4 b = *(const int4*)(right + place_of(column, piece) + j / 2 * (8 * kLine));
#pragma unroll
          for (int i = 0; i < kRowSteps * 2; ++i) {
            int* d = sums + i * kColumnSteps * 2 + j;
            *d = __dp4a(a[i].x, b.x, *d);
            *d = __dp4a(a[i].y, b.y, *d);
            *d = __dp4a(a[i].z, b.z, *d);
            *d = __dp4a(a[i].w, b.w, *d);
          }
        }
      }
"""

MMA_K32 = Multiplication(
    "mma_k32",
    _ASYNC_COPY,
    _ASYNC_COMMIT,
    _ASYNC_WAIT,
    _fragments(mma("m16n8k32", "s8.s8", _SUMS, _LEFT, _RIGHT)),
    _FRAGMENT_OFFSETS,
)
"""mma.sync.m16n8k32 and cp.async: sm_80 and later."""


def through_registers(
    name: str, multiply: str, offsets: str = "", finish: str = "", padding: int = 0
) -> Multiplication:
    """Without cp.async: a stage is on its way in registers while another one is multiplied."""
    return Multiplication(
        name,
        copy=f"*(int4*)target = {_PIECE_OF_SOURCE};",
        commit="",
        wait="",
        multiply=multiply,
        offsets=offsets,
        finish=finish,
        fetch=f"fetched[i] = {_PIECE_OF_SOURCE};",
        store="*(int4*)target = fetched[i];",
        padding=padding,
    )


MMA_K16 = through_registers(
    "mma_k16",
    _fragments(
        "".join(
            mma("m8n8k16", "s8.s8", _SUMS[half * 2 : half * 2 + 2], (_LEFT[half + 2 * depth],), (_RIGHT[depth],))
            for depth in (0, 1)
            for half in (0, 1)
        )
    ),
    _FRAGMENT_OFFSETS,
)
"""mma.sync.m8n8k16: sm_75."""
DP4A = replace(through_registers("dp4a", _DOT_PRODUCTS), most_sums=64)
"""Four products an instruction: sm_61 and later."""
