"""Lanes of a warp: how a row's channels lie in them, and how TVM adds up what they hold.

TVM names the lanes that are active where it shuffles. Those may be fewer than the warp's after a branch that not all of
them took, since lanes need not meet again behind it (CUDA C++ Programming Guide, "Independent Thread Scheduling"), and
then a sum would lack some. Every lane is named instead, so that the hardware waits for it: a block is of whole warps
wherever a reduction is bound to lanes, and TVM keeps conditions out of where it shuffles.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.s_tir import Schedule
from tvm.tirx.op import register_intrin_lowering

from ...targets.cuda import WARP
from ..choices import choose_tiles
from ..vectors import widest_divisor
from .threads import ENOUGH_BLOCKS

VECTOR_BYTES = 16
"""What a thread loads or stores at once, at most."""
WARPS = 4
"""Of a block by default: one for each scheduler of a multiprocessor."""
MOST_WARPS = 8
ALL_LANES = 2**32 - 1
_ABOVE_TVMS_OWN = 11


def bind_rows_of_warps(sch: Schedule, row: Any, lanes: int) -> Any:
    """The loop ``row``, a multiple of what a warp does at once where each takes ``lanes`` lanes, as blocks and
    ``threadIdx.y``; the latter."""
    together = WARP // lanes
    warps = int(sch.get(row).extent) // together
    default = widest_divisor(warps, max(1, min(WARPS, warps // ENOUGH_BLOCKS)))
    warp, row = sch.split(row, [None, together])
    blocks, warp = choose_tiles(sch, warp, default, most=MOST_WARPS)
    row = sch.fuse(warp, row)
    sch.bind(blocks, "blockIdx.x")
    sch.bind(row, "threadIdx.y")
    return row


def split_vectors(sch: Schedule, loop: Any, lanes: int, vector: int) -> tuple[Any, Any, Any]:
    """``loop`` over channels: steps, ``lanes`` as ``threadIdx.x``, the channels of a lane's vector, which divide it.

    Where ``loop`` is a reduction, the lanes' sums are added up by shuffles.
    """
    vectors, element = sch.split(loop, [None, vector])
    step, lane = sch.split(vectors, [None, lanes])
    sch.bind(lane, "threadIdx.x")
    return step, lane, element


def _all_lanes(_: Any) -> Any:
    return tirx.const(ALL_LANES, "uint32")


register_intrin_lowering("tirx.tvm_warp_activemask", "cuda", f=_all_lanes, level=_ABOVE_TVMS_OWN)
