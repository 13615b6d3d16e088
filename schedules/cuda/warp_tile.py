"""CUDA device functions that multiply a block's tile: operands staged through shared memory, sums in registers.

All of them leave the sums where ``mma.sync`` does. A warp has ``16 row_steps x 8 column_steps`` outputs; of each
16 x 8, lane ``4 group + place`` has rows ``group`` and ``group + 8``, columns ``2 place`` and ``2 place + 1`` (PTX
ISA, "Matrix Fragments for mma.m16n8k32"). Rows, channels and inputs beyond the operands' are read as zeros.

A stage is 64 bytes of the depth: a row of shared memory. Its 16-byte pieces are exchanged by bits 1 and 2 of the row,
so that the eight rows that ``ldmatrix`` reads at once lie in different banks.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

WARP_LANES = 32
DEPTH = 64
"""Inputs of a stage."""
PIECE = 16
"""Bytes that are copied at once; the inputs are a multiple of it."""


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

    @property
    def shared_bytes(self) -> int:
        """Of the block."""
        return self.stages * (self.rows + self.columns) * DEPTH

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


def function_name(multiplication: Multiplication, tile: WarpTile) -> str:
    """Of the device function ``(int* sums, const signed char* x, const signed char* weight, int first_row, int
    first_column, int rows, int channels, int inputs)``; all threads of the block call it."""
    return f"intbert_{multiplication.name}_{tile}"


def function_source(multiplication: Multiplication, tile: WarpTile) -> str:
    """Its CUDA source."""
    return _FUNCTION.substitute(
        name=function_name(multiplication, tile),
        rows=tile.rows,
        columns=tile.columns,
        threads=tile.threads,
        warp_columns=tile.warps[1],
        row_steps=tile.steps[0],
        column_steps=tile.steps[1],
        stages=tile.stages,
        copy=multiplication.copy,
        commit=multiplication.commit,
        wait=multiplication.wait.replace("PENDING", str(tile.stages - 2)),
        drain=multiplication.wait.replace("PENDING", "0"),
        multiply=multiplication.multiply,
        offsets=multiplication.offsets,
    )


_FUNCTION = Template(r"""
__device__ __forceinline__ void ${name}(int* sums, const signed char* x, const signed char* weight, int first_row,
                                        int first_column, int rows, int channels, int inputs) {
  constexpr int kRows = ${rows}, kColumns = ${columns}, kThreads = ${threads}, kStages = ${stages};
  constexpr int kRowSteps = ${row_steps}, kColumnSteps = ${column_steps};
  __shared__ __align__(128) signed char staged[kStages * (kRows + kColumns) * 64];
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y;
  const int warp_row = warp / ${warp_columns} * kRowSteps * 16, warp_column = warp % ${warp_columns} * kColumnSteps * 8;
  const int steps = (inputs + 63) / 64;
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) sums[i] = 0;
  // What a thread copies: the same pieces of the depth in every stage.
  constexpr int kPieces = (kRows + kColumns) * 4, kCopies = (kPieces + kThreads - 1) / kThreads;
  constexpr int kStageBytes = (kRows + kColumns) * 64;
  const signed char* sources[kCopies];
  int limits[kCopies];
#pragma unroll
  for (int i = 0; i < kCopies; ++i) {
    const int piece = warp * 32 + lane + i * kThreads, row = piece / 4, depth = piece % 4 * 16;
    const int line = row < kRows ? first_row + row : first_column + row - kRows;
    limits[i] = line < (row < kRows ? rows : channels) ? inputs - depth : 0;
    sources[i] = (row < kRows ? x : weight) + (limits[i] > 0 ? line * inputs + depth : 0);
  }
  const int first = warp * 32 + lane, target_offset = first / 4 * 64 + ((first ^ (first >> 3)) & 3) * 16;
  ${offsets}
  int reading = 0, writing = 0;
  for (int step = 1 - kStages; step < steps; ++step) {
    if (step >= 0) {
      ${wait}
      __syncthreads();
    }
    if (step + kStages - 1 < steps) {
#pragma unroll
      for (int i = 0; i < kCopies; ++i) {
        if (kPieces % kThreads == 0 || first + i * kThreads < kPieces) {
          const bool inside = limits[i] > 0;
          const signed char* source = sources[i];
          signed char* target = staged + writing + target_offset + i * (kThreads * 16);
          ${copy}
          limits[i] -= 64;
          sources[i] += limits[i] > 0 ? 64 : 0;
        }
      }
      writing = writing == (kStages - 1) * kStageBytes ? 0 : writing + kStageBytes;
    }
    ${commit}
    if (step >= 0) {
      const signed char* left = staged + reading;
      const signed char* right = left + kRows * 64;
      reading = reading == (kStages - 1) * kStageBytes ? 0 : reading + kStageBytes;
      ${multiply}
    }
  }
  ${drain}
}
""")

_ASYNC_COPY = r"""asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : :
                     "r"((unsigned)__cvta_generic_to_shared(target)), "l"(source), "r"(inside ? 16 : 0) : "memory");
"""
_ASYNC_COMMIT = 'asm volatile("cp.async.commit_group;" : : : "memory");\n'
_ASYNC_WAIT = 'asm volatile("cp.async.wait_group PENDING;" : : : "memory");\n'
_COPY = "*(int4*)target = inside ? *(const int4*)source : make_int4(0, 0, 0, 0);"

_LOAD_FRAGMENTS = r"""
#pragma unroll
      for (int depth = 0; depth < 4; depth += 2) {
        unsigned a[kRowSteps][4], b[kColumnSteps / 2][4];
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
          const signed char* address = left + left_offset[depth / 2] + i * 1024;
          asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" :
                       "=r"(a[i][0]), "=r"(a[i][1]), "=r"(a[i][2]), "=r"(a[i][3]) :
                       "r"((unsigned)__cvta_generic_to_shared(address)) : "memory");
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps / 2; ++j) {
          const signed char* address = right + right_offset[depth / 2] + j * 1024;
          asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" :
                       "=r"(b[j][0]), "=r"(b[j][1]), "=r"(b[j][2]), "=r"(b[j][3]) :
                       "r"((unsigned)__cvta_generic_to_shared(address)) : "memory");
        }
#pragma unroll
        for (int i = 0; i < kRowSteps; ++i) {
#pragma unroll
          for (int j = 0; j < kColumnSteps; ++j) {
            int* d = sums + (i * 2 * kColumnSteps + j) * 2;
            int* e = d + kColumnSteps * 2;
            const unsigned* w = b[j / 2] + j % 2 * 2;
            PRODUCTS
          }
        }
      }
"""
_FRAGMENT_OFFSETS = r"""
  const int left_row = warp_row + lane % 16, right_row = warp_column + lane % 8 + lane / 16 * 8;
  int left_offset[2], right_offset[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    left_offset[i] = left_row * 64 + (((i * 2 + lane / 16) ^ (left_row >> 1)) & 3) * 16;
    right_offset[i] = right_row * 64 + (((i * 2 + lane / 8 % 2) ^ (right_row >> 1)) & 3) * 16;
  }
"""
_PRODUCTS_32 = r"""asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
                         "{%8, %9}, {%0, %1, %2, %3};" :
                         "+r"(d[0]), "+r"(d[1]), "+r"(e[0]), "+r"(e[1]) :
                         "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(w[0]), "r"(w[1]));
"""
_PRODUCTS_16 = "".join(
    'asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};" : '
    f'"+r"({sums}[0]), "+r"({sums}[1]) : "r"(a[i][{register}]), "r"(w[{depth}]));\n'
    for sums, register, depth in (("d", 0, 0), ("e", 1, 0), ("d", 2, 1), ("e", 3, 1))
)
_DOT_PRODUCTS = r"""
#pragma unroll
      for (int piece = 0; piece < 4; ++piece) {
        int4 a[kRowSteps * 2];
#pragma unroll
        for (int i = 0; i < kRowSteps * 2; ++i) {
          const int row = warp_row + i * 8 + lane / 4;
          a[i] = *(const int4*)(left + row * 64 + ((piece ^ (row >> 1)) & 3) * 16);
        }
#pragma unroll
        for (int j = 0; j < kColumnSteps * 2; ++j) {
          const int row = warp_column + j / 2 * 8 + lane % 4 * 2 + j % 2;
          const int4 b = *(const int4*)(right + row * 64 + ((piece ^ (row >> 1)) & 3) * 16);
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
    _LOAD_FRAGMENTS.replace("PRODUCTS", _PRODUCTS_32),
    _FRAGMENT_OFFSETS,
)
"""mma.sync.m16n8k32 and cp.async: sm_80 and later."""
MMA_K16 = Multiplication("mma_k16", _COPY, "", "", _LOAD_FRAGMENTS.replace("PRODUCTS", _PRODUCTS_16), _FRAGMENT_OFFSETS)
"""mma.sync.m8n8k16: sm_75."""
DP4A = Multiplication("dp4a", _COPY, "", "", _DOT_PRODUCTS)
"""Four products an instruction: sm_61 and later."""
