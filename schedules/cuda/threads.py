"""Blocks and threads: how the loops of a kernel are bound where nothing cleverer is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm.s_tir import Schedule
from tvm.tirx import IterVar

from ...targets.cuda import STATIC_SHARED_BYTES, Cuda

THREADS = 128
"""Of a block: four warps."""
ENOUGH_BLOCKS = 32
"""Of a kernel, for a whole GPU: where larger blocks would leave fewer than this, smaller ones are the default."""
RESIDENT = 2
"""Blocks that a multiprocessor is to hold at least: one computes while the other waits."""


def most_shared_bytes(gpu: Cuda | None) -> int:
    """Shared memory of a block of which a multiprocessor holds :data:`RESIDENT`; what a block may declare on every
    chip, where that is more or ``gpu`` is not known."""
    if gpu is None:
        return STATIC_SHARED_BYTES
    chip = gpu.architecture
    share = chip.shared_bytes // RESIDENT - chip.reserved_shared_bytes
    return max(STATIC_SHARED_BYTES, min(share, chip.shared_bytes_per_block))


def bind_elements(sch: Schedule, block: Any) -> None:
    """A kernel of its own: a thread for each element that ``block`` writes, with its reduction inside."""
    loops = sch.get_loops(block)
    elements = loops[: len(loops) - _reduces(sch, block)]
    blocks, thread = sch.split(sch.fuse(*elements), [None, THREADS])
    sch.bind(blocks, "blockIdx.x")
    sch.bind(thread, "threadIdx.x")


def bind_rows(sch: Schedule, output: Any, rows: Sequence[Any], producers: Sequence[Any] = ()) -> None:
    """A block of threads for each step of the outermost loops ``rows`` of ``output``, and in it one for each channel.

    ``producers``, from the last to the first, are computed for that row alone, and pass what they write to the other
    threads in shared memory.
    """
    sums: list[tuple[Any, Any]] = []
    written = [output]
    for producer in producers:
        sch.set_scope(producer, 0, "shared")
        block = producer
        if _reduces(sch, producer):
            # A sum in shared memory would be read and written by every step.
            block = sch.cache_write(producer, 0, "local")
            sums.append((producer, block))
        sch.compute_at(block, rows[-1], preserve_unit_loops=True)
        if block is not producer:
            sch.compute_at(producer, rows[-1], preserve_unit_loops=True)
        written.append(block)
    sch.bind(sch.fuse(*rows), "blockIdx.x")
    for block in written:
        _, thread = sch.split(sch.fuse(*sch.get_loops(block)[1:]), [None, THREADS])
        sch.bind(thread, "threadIdx.x")
    for total, copy in sums:
        sch.compute_at(total, sch.get_loops(copy)[-1], preserve_unit_loops=True)


def _reduces(sch: Schedule, block: Any) -> int:
    """How many loops of ``block`` are of a reduction: the last ones."""
    return sum(axis.iter_type == IterVar.CommReduce for axis in sch.get(block).iter_vars)
