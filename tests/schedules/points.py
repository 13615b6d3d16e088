"""Points of a strategy's space: every sketch with decisions drawn at random, always the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import tvm
from intbert.compiler.kernels import Alternative
from intbert.schedules.space import all_sketches
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace


@cache
def sketches_of(alternative: Alternative) -> Sequence[Schedule]:
    """Its sketches with their default decisions."""
    return all_sketches(alternative.strategy, alternative.kernel, alternative.workload)


def drawn(alternative: Alternative, sketch: Schedule, seed: int) -> Schedule:
    """``sketch`` with decisions that TVM draws, as a search does."""
    assert sketch.trace is not None
    schedule = Schedule(tvm.IRModule({"main": alternative.kernel}), seed=seed + 1)
    Trace(list(sketch.trace.insts), {}).apply_to_schedule(schedule, remove_postproc=True)
    return schedule


def points(alternative: Alternative, count: int, seed: int = 0) -> Iterator[tuple[str, Schedule]]:
    """``count`` points, one sketch after the other, with the sketch's name."""
    names = [sketch.name for sketch in alternative.strategy.sketches(alternative.workload)]
    sketches = sketches_of(alternative)
    for index in range(count):
        which = (seed + index) % len(sketches)
        yield names[which], drawn(alternative, sketches[which], seed + index)
