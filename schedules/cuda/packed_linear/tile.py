"""CUDA device functions that multiply a block's tile by packed weights: staged as they are, unpacked in registers.

The sums lie where :mod:`..linear.warp_tile` leaves them. Sums commute, so the order of the depth is free as long as
both operands have the same: a stage is eight places, apart in memory, whose codes share their bytes (:mod:`.codes`).

In shared memory piece ``p`` of all lines is together, line ``l`` at ``l ^ p (8 / slots)``: so eight lines of a piece,
which ``ldmatrix`` reads, and the pieces of neighbouring lines, which are copied, lie in different banks. Rows and
channels beyond the operands' are read as the last ones. The loop over the stages is unrolled by the buffers that they
take turns in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import Template

from ...unpack import PackedWeight
from ..linear.warp_tile import WarpTile
from .codes import DEPTH, PIECE, PLACES, run_pieces

MOST_STAGES = 3


@dataclass(frozen=True)
class Copy:
    """How 16 bytes get from ``source`` to ``target``: by ``fetch``, and after the products of a stage ``store``."""

    fetch: str
    store: str = ""
    commit: str = ""
    wait: str = ""
    """Until all but ``PENDING`` of the committed copies are in shared memory."""


ASYNC_COPY = Copy(
    'asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" : : '
    '"r"((unsigned)__cvta_generic_to_shared(target)), "l"(source) : "memory");',
    commit='asm volatile("cp.async.commit_group;" : : : "memory");',
    wait='asm volatile("cp.async.wait_group PENDING;" : : : "memory");',
)
"""Passes no register: sm_80 and later."""
COPY_THROUGH_REGISTERS = Copy("fetched[copy] = *(const int4*)source;", "*(int4*)target = fetched[copy];")


@dataclass(frozen=True)
class Operands:
    """What a multiplication's source depends on: the weight, and how many bits every activation has."""

    packed: PackedWeight
    activation_bits: int


@dataclass(frozen=True)
class PackedMultiplication:
    """How a stage is copied and multiplied, and how the sums are finished."""

    name: str
    copy: Copy
    tiles: tuple[WarpTile, ...]
    """From the largest to the smallest; of their stages, as many as shared memory holds."""
    declare: Callable[[WarpTile, Operands], str]
    """Before the first stage: what the others share."""
    multiply: Callable[[WarpTile, Operands], str]
    """A stage: its activations are at ``left``, its codes at ``right``."""
    finish: Callable[[WarpTile, Operands], str]
    """After the last one: leaves ``sums``."""
    most_weight_bits: int = 7
    activation_bits: range = range(1, 9)
    most_accumulators: int = 128
    """Registers of a thread for sums that leave enough of them for the operands."""
    accumulators: Callable[[Operands], int] = lambda operands: 1
    """For each sum of a thread."""


def stage_bytes(tile: WarpTile, bits: int) -> int:
    """Of shared memory."""
    return (tile.rows * PLACES + tile.columns * bits) * PIECE


def slots_of_line(pieces: int) -> int:
    """Threads that copy a line of so many pieces: a power of two, so that a thread always has the same piece."""
    return 1 << (pieces - 1).bit_length()


def turn_of_piece(pieces: int) -> int:
    """By how much a line's number is turned for each piece; see the module's words on banks."""
    return PLACES // slots_of_line(pieces)


def function_name(multiplication: PackedMultiplication, tile: WarpTile, operands: Operands) -> str:
    """Of the device function ``(int* sums, const signed char* x, const unsigned char* weight, int first_row, int
    first_column, int rows, int channels, int inputs)``; all threads of the block call it."""
    packed, bits = operands.packed, operands.activation_bits
    return f"intbert_{multiplication.name}_{packed.bits}_{packed.step}_{-packed.offset}_{bits}_{tile}"


def function_source(multiplication: PackedMultiplication, tile: WarpTile, operands: Operands) -> str:
    """Its CUDA source; ``inputs`` is a multiple of :data:`~.packed_codes.DEPTH`."""
    bits, copy = operands.packed.bits, multiplication.copy
    assert bits <= multiplication.most_weight_bits
    assert operands.activation_bits in multiplication.activation_bits
    lines = (
        _Lines("x", "rows", "first_row", tile.rows, "0", PLACES, bits, tile.threads),
        _Lines("weight", "channels", "first_column", tile.columns, f"kRows * {DEPTH}", bits, bits, tile.threads),
    )
    fetched = sum(each.copies for each in lines) if copy.store else 0
    return _FUNCTION.substitute(
        name=function_name(multiplication, tile, operands),
        rows=tile.rows,
        columns=tile.columns,
        warp_columns=tile.warps[1],
        row_steps=tile.steps[0],
        column_steps=tile.steps[1],
        stages=tile.stages,
        bits=bits,
        depth=DEPTH,
        run=run_pieces(bits) * PIECE,
        # Where registers are scarce, those of the next stage's first operands would be too many.
        unrolled=tile.stages if tile.registers * multiplication.accumulators(operands) + fetched * 4 <= 64 else 1,
        sources="".join(each.sources for each in lines),
        fetched=f"int4 fetched[{fetched}];" if fetched else "",
        fetch="".join(each.of_every_copy(copy.fetch) for each in lines),
        store="".join(each.of_every_copy(copy.store) for each in lines) if copy.store else "",
        commit=copy.commit,
        wait=copy.wait.replace("PENDING", str(tile.stages - 2)),
        drain=copy.wait.replace("PENDING", "0"),
        declare=multiplication.declare(tile, operands),
        multiply=multiplication.multiply(tile, operands),
        finish=multiplication.finish(tile, operands),
    )


_FUNCTION = Template(r"""
__device__ __forceinline__ void ${name}(int* sums, const signed char* x, const unsigned char* weight, int first_row,
                                        int first_column, int rows, int channels, int inputs) {
  constexpr int kRows = ${rows}, kColumns = ${columns}, kStages = ${stages}, kUnrolled = ${unrolled};
  constexpr int kRowSteps = ${row_steps}, kColumnSteps = ${column_steps};
  constexpr int kStageBytes = kRows * ${depth} + kColumns * (${bits} * 16);
  __shared__ __align__(128) signed char staged[kStages * kStageBytes];
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y, thread = warp * 32 + lane;
  const int warp_row = warp / ${warp_columns} * kRowSteps * 16, warp_column = warp % ${warp_columns} * kColumnSteps * 8;
  const int steps = inputs / ${depth}, place_bytes = inputs / 8;
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) sums[i] = 0;
  ${sources}
  ${fetched}
  const auto fetch = [&](int stage, int ahead) {
    ${fetch}
  };
  const auto store = [&](int stage) {
    const int ahead = 0;
    ${store}
  };
  ${declare}
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < steps) {
      fetch(stage, stage);
      store(stage);
    }
    ${commit}
  }
  int first_buffer = 0;
#pragma unroll 1
  for (int step = 0; step < steps; step += kUnrolled) {
#pragma unroll
    for (int stage = 0; stage < kUnrolled; ++stage) {
      if (steps % kUnrolled != 0 && step + stage >= steps) break;
      ${wait}
      __syncthreads();
      const int ahead = stage + kStages - 1, buffer = (first_buffer + ahead) % kStages;
      // Where the last turn is a whole one, all but its first stage are the last of their buffers.
      const bool more = step + (steps % kUnrolled != 0 || stage == 0 ? ahead : kStages) < steps;
      if (more) fetch(buffer, ahead);
      ${commit}
      const signed char* left = staged + (first_buffer + stage) * kStageBytes;
      const signed char* right = left + kRows * ${depth};
      ${multiply}
      if (more) store(buffer);
    }
    x_source += kUnrolled * ${run};
    weight_source += kUnrolled * ${run};
    first_buffer = (first_buffer + kUnrolled) % kStages;
  }
  ${drain}
  ${finish}
}
""")


@dataclass(frozen=True)
class _Lines:
    """How a block copies an operand: a stage of it is ``lines`` lines from ``first`` on, behind ``offset``."""

    operand: str
    count: str
    """Of the operand's lines."""
    first: str
    lines: int
    offset: str
    pieces: int
    """Of a line in a stage; in memory a line is as many eighths of the inputs long."""
    bits: int
    """Of a weight: the pieces of a run neighbour each other, and the runs are all that far apart."""
    threads: int

    @property
    def stride(self) -> int:
        """Lines that are copied at once."""
        stride = self.threads // slots_of_line(self.pieces)
        assert stride % 8 == 0, "a piece is turned alike in all lines that a thread copies"
        return stride

    @property
    def copies(self) -> int:
        """Of a thread."""
        return -(-self.lines // self.stride)

    @property
    def sources(self) -> str:
        """Declares what :meth:`of_every_copy` reads."""
        return self._substitute(_SOURCES)

    def of_every_copy(self, statement: str) -> str:
        """``statement`` with the ``source`` of ``ahead`` stages later, and the ``target`` in the buffer ``stage``."""
        return self._substitute(_EVERY_COPY, statement=statement)

    def _substitute(self, template: Template, **others: str) -> str:
        return template.substitute(
            operand=self.operand,
            count=self.count,
            first=self.first,
            lines=self.lines,
            offset=self.offset,
            pieces=self.pieces,
            slots=slots_of_line(self.pieces),
            turn=turn_of_piece(self.pieces),
            run=run_pieces(self.bits),
            stride=self.stride,
            copies=self.copies,
            fetched="0" if self.operand == "x" else "x_copies",
            **others,
        )


_SOURCES = Template(r"""
  constexpr int ${operand}_copies = ${copies};
  const int ${operand}_piece = thread % ${slots}, ${operand}_line = thread / ${slots};
  const auto* ${operand}_source =
      ${operand} + ${operand}_piece / ${run} * (place_bytes * ${run}) + ${operand}_piece % ${run} * 16;
  signed char* const ${operand}_target =
      staged + ${offset} + (${operand}_piece * ${lines} + (${operand}_line ^ ${operand}_piece * ${turn})) * 16;
  int ${operand}_offset[${copies}];
#pragma unroll
  for (int i = 0; i < ${copies}; ++i) {
    const int line = ${first} + ${operand}_line + i * ${stride};
    const bool beyond = ${count} % ${lines} != 0 && line >= ${count};
    ${operand}_offset[i] = (beyond ? ${count} - 1 : line) * (place_bytes * ${pieces});
  }
""")
_EVERY_COPY = Template(r"""
#pragma unroll
    for (int i = 0; i < ${copies}; ++i) {
      if ((${slots} == ${pieces} || ${operand}_piece < ${pieces}) &&
          (${lines} % ${stride} == 0 || ${operand}_line + i * ${stride} < ${lines})) {
        const int copy = ${fetched} + i;
        const auto* source = ${operand}_source + ${operand}_offset[i] + ahead * (${run} * 16);
        signed char* target = ${operand}_target + stage * kStageBytes + i * (${stride} * 16);
        ${statement}
      }
    }
""")
