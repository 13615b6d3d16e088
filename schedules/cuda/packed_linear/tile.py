"""CUDA device functions that multiply a block's tile by packed weights: staged as they are, unpacked in registers.

The sums lie where :mod:`..linear.warp_tile` leaves them. Sums commute, so the order of the depth is free as long as
both operands have the same: a stage is eight places, apart in memory, whose codes share their bytes (:mod:`.codes`).
Rows of the weight are padded to whole stages. Activations there are read as zeros, so what pads is multiplied by zero.

The loop over the stages is unrolled by the buffers that they take turns in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from string import Template

from ....targets.cuda import STATIC_SHARED_BYTES
from ...linear.workload import LinearWorkload
from ...unpack import PackedWeight
from ..copies import Copy
from ..linear.warp_tile import WarpTile
from .added_columns import ADD_BY_DP4A, INDEX_BYTES, add_columns, declare_added_columns
from .codes import DEPTH, PIECE, PLACES, run_pieces
from .copies import operand_lines

MOST_STAGES = 3


@dataclass(frozen=True)
class Operands:
    """What a multiplication's source depends on: the weight, how many bits every activation has, and how many bytes
    the rows of the activations are aligned to."""

    packed: PackedWeight
    activation_bits: int
    alignment: int = PIECE

    @classmethod
    def of(cls, workload: LinearWorkload) -> Operands:
        """Those of a layer whose weight is packed."""
        assert workload.packed is not None
        return cls(workload.packed, workload.activation_bits, math.gcd(workload.inputs, PIECE))

    @property
    def without_gain(self) -> Operands:
        """The same where what is added comes before the gain: the packed values alone."""
        packed = self.packed
        if packed.added is None:
            return self
        gain = packed.added.gain
        return replace(self, packed=replace(packed, step=packed.step // gain, offset=packed.offset // gain))


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
    added_products: str = ADD_BY_DP4A
    """How what is added to columns of the weight is multiplied, after ``finish``."""


def stage_bytes(tile: WarpTile, bits: int) -> int:
    """Of shared memory."""
    return (tile.rows * PLACES + tile.columns * bits) * PIECE


def most_stages(tile: WarpTile, packed: PackedWeight) -> int:
    """How many stages a block may have: no more than ``tile`` has, and than shared memory holds."""
    index_bytes = 0 if packed.added is None else packed.added.columns * INDEX_BYTES
    return min(tile.stages, (STATIC_SHARED_BYTES - index_bytes) // stage_bytes(tile, packed.bits))


def function_name(multiplication: PackedMultiplication, tile: WarpTile, operands: Operands) -> str:
    """Of the device function ``(int* sums, const signed char* x, const unsigned char* weight, int first_row, int
    first_column, int rows, int channels, int inputs)``; all threads of the block call it.

    Where something is added, ``const signed char* added, const int* added_index`` follow the weight.
    """
    packed, bits = operands.packed, operands.activation_bits
    weight = f"{packed.bits}_{packed.step}_{-packed.offset}"
    added = "" if packed.added is None else f"_{packed.added.columns}x{packed.added.gain}"
    return f"intbert_{multiplication.name}_{weight}{added}_{bits}_{operands.alignment}_{tile}"


def function_source(multiplication: PackedMultiplication, tile: WarpTile, operands: Operands) -> str:
    """Its CUDA source; the eighths of a packed row are whole pieces."""
    packed, copy = operands.packed, multiplication.copy
    bits, added = packed.bits, packed.added
    assert bits <= multiplication.most_weight_bits
    assert packed.chunk % PIECE == 0
    assert operands.activation_bits in multiplication.activation_bits
    lines = operand_lines(tile.rows, tile.columns, tile.threads, bits, operands.alignment, offset=tile.rows * DEPTH)
    fetched = sum(each.copies for each in lines) if copy.store else 0
    return _FUNCTION.substitute(
        name=function_name(multiplication, tile, operands),
        added="" if added is None else "const signed char* added, const int* added_index, ",
        rows=tile.rows,
        columns=tile.columns,
        warp_columns=tile.warps[1],
        row_steps=tile.steps[0],
        column_steps=tile.steps[1],
        stages=tile.stages,
        bits=bits,
        depth=DEPTH,
        run=run_pieces(bits) * PIECE,
        sources="".join(each.sources for each in lines),
        fetched=f"int4 fetched[{fetched}];" if fetched else "",
        fetch="".join(each.fetch(copy) for each in lines),
        store="".join(each.store(copy) for each in lines),
        commit=copy.commit,
        wait=copy.wait.replace("PENDING", str(tile.stages - 2)),
        drain=copy.wait.replace("PENDING", "0"),
        declare=multiplication.declare(tile, operands),
        declare_added="" if added is None else declare_added_columns(added),
        multiply=multiplication.multiply(tile, operands),
        finish=multiplication.finish(tile, operands.without_gain),
        add="" if added is None else add_columns(added, multiplication.added_products),
    )


_FUNCTION = Template(r"""
__device__ __forceinline__ void ${name}(int* sums, const signed char* x, const unsigned char* weight, ${added}
                                        int first_row, int first_column, int rows, int channels, int inputs) {
  constexpr int kRows = ${rows}, kColumns = ${columns}, kStages = ${stages};
  constexpr int kRowSteps = ${row_steps}, kColumnSteps = ${column_steps};
  constexpr int kStageBytes = kRows * ${depth} + kColumns * (${bits} * 16);
  __shared__ __align__(128) signed char staged[kStages * kStageBytes];
  const int lane = (int)threadIdx.x, warp = (int)threadIdx.y, thread = warp * 32 + lane;
  const int warp_row = warp / ${warp_columns} * kRowSteps * 16, warp_column = warp % ${warp_columns} * kColumnSteps * 8;
  const int steps = (inputs + ${depth} - 1) / ${depth}, place_bytes = steps * 16;
#pragma unroll
  for (int i = 0; i < kRowSteps * kColumnSteps * 4; ++i) sums[i] = 0;
  ${sources}
  ${fetched}
  const auto fetch = [&](int stage, int ahead) {
    ${fetch}
  };
  const auto store = [&](int stage) {
    ${store}
  };
  ${declare}
  ${declare_added}
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < steps) {
      fetch(stage, stage);
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
      if (more) fetch(ahead % kStages, ahead);
      ${commit}
      const signed char* left = staged + stage * kStageBytes;
      const signed char* right = left + kRows * ${depth};
      ${multiply}
      if (more) store(ahead % kStages);
    }
    x_source += kStages * ${run};
    x_depth += kStages * ${run};
    weight_source += kStages * ${run};
  }
  ${drain}
  ${finish}
  ${add}
}
""")
