"""How packed weights are unpacked: the whole matrix in one pass, before the operator that reads it."""

from __future__ import annotations

from tvm.s_tir import Schedule

from .choices import choose_tiles
from .vectors import vector_width

CHUNKS = 8
"""Every plane of packed values is a whole number of eighths (see the compiler's packing)."""
MIN_PARALLEL_VECTORS = 64
"""Vectors of a chunk below which waking the threads costs more than they save."""


def unpack_weight(sch: Schedule, chunk: int, lanes: int) -> None:
    """The block ``weight`` in vectors of ``2 * lanes`` bytes, the eight chunks side by side.

    A vector of packed bytes thus serves all the values it holds while it lies in registers or the nearest cache.
    """
    value = sch.fuse(*sch.get_loops(sch.get_sblock("weight")))
    width = vector_width(chunk, 2 * lanes)
    part, vectors, lane = sch.split(value, [CHUNKS, chunk // width, width])
    groups, vector = choose_tiles(sch, vectors, 1)
    sch.reorder(groups, vector, part, lane)
    sch.vectorize(lane)
    sch.unroll(part)
    if chunk // width >= MIN_PARALLEL_VECTORS:
        sch.parallel(groups)
