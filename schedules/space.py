"""The tuning space of a strategy: its default schedule, the space that MetaSchedule searches, and points of it.

A point is a trace: the instructions of one of the strategy's sketches, with decisions of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tvm
from tvm.s_tir import Schedule, meta_schedule
from tvm.s_tir.schedule import Trace

from ..errors import TraceError
from .strategy import PrimFunc, Sketch, Strategy
from .vectors import widest_divisor

SOURCES = Path(__file__).parent
TUNING_LOG = "tuning_log"


def default_schedule(strategy: Strategy[Any], kernel: PrimFunc, workload: Any) -> Schedule:
    """The schedule of ``kernel`` that is taken without tuning: the first sketch with its default decisions."""
    return _apply(strategy.sketches(workload)[0], kernel)


def scheduled(strategy: Strategy[Any], schedule: Schedule, workload: Any) -> PrimFunc:
    """What ``schedule``, a point of the strategy's space, has made of the kernel."""
    return strategy.finish(schedule.mod["main"], workload)


def all_sketches(strategy: Strategy[Any], kernel: PrimFunc, workload: Any) -> list[Schedule]:
    """The strategy's sketches of ``kernel`` with their default decisions."""
    return [_apply(sketch, kernel) for sketch in strategy.sketches(workload)]


def space(strategy: Strategy[Any], kernel: PrimFunc, workload: Any) -> meta_schedule.SpaceGenerator:
    """The strategy's sketches of ``kernel`` for MetaSchedule's search, which mutates their tile sizes."""
    return meta_schedule.space_generator.ScheduleFn(
        lambda _: all_sketches(strategy, kernel, workload),
        sch_rules=[],
        postprocs=[],
        mutator_probs={meta_schedule.mutator.MutateTileSize(): 1.0},
    )


def trace_json(schedule: Schedule) -> str:
    """The trace of a schedule of the space as JSON, without what has no effect: what :func:`replay` takes."""
    return json.dumps(_document(schedule), separators=(",", ":"))


def replay(strategy: Strategy[Any], kernel: PrimFunc, workload: Any, trace: str) -> PrimFunc:
    """``kernel`` scheduled as ``trace`` says, which :func:`trace_json` has written.

    The trace itself is never run: it must name the instructions of one of the strategy's sketches, and that sketch is
    run with its decisions. So a trace from elsewhere can neither call for an unknown intrinsic nor do any harm.
    Raises TraceError where it is not a point of the space: of another shape or strategy, or of another version.
    """
    instructions, decisions = _parse(trace)
    for sketch in strategy.sketches(workload):
        default = _apply(sketch, kernel)
        if _document(default)[0] == instructions:
            return scheduled(strategy, _with_decisions(default, kernel, decisions), workload)
    raise TraceError(
        f"the trace is no schedule of the strategy {strategy.name!r} for {workload}; it was made for another shape, "
        "strategy or version: tune again"
    )


def nearest(strategy: Strategy[Any], kernel: PrimFunc, workload: Any, trace: str) -> Schedule | None:
    """The point of the strategy's space that is most like ``trace``, which was made for another shape or processor.

    That is the sketch with the most instructions in common, of those with the same kinds of instructions; each of its
    tiles has the largest sizes that divide its loop and are no larger than those of the trace. None where no sketch
    has the same kinds of instructions. Raises TraceError for what is no trace.
    """
    instructions, decisions = _parse(trace)
    found = [
        (sum(map(operator.eq, _document(sketch)[0], instructions)), index, sketch)
        for index, sketch in enumerate(all_sketches(strategy, kernel, workload))
        if _kinds(_document(sketch)[0]) == _kinds(instructions) and _same_choices(_document(sketch)[1], decisions)
    ]
    if not found:
        return None
    _, _, sketch = max(found, key=lambda each: (each[0], -each[1]))
    adapted = [
        [index, _fitted(math.prod(sizes), wanted)]
        for (index, sizes), (_, wanted) in zip(_document(sketch)[1], decisions, strict=True)
    ]
    return _with_decisions(sketch, kernel, adapted)


def space_digest(sources: Path = SOURCES) -> str:
    """The version of all spaces: SHA-256 (hexadecimal) of the sources of the schedules and their intrinsics.

    It is of what was measured, in full; whether a trace is still a point of the space, :func:`replay` says.
    """
    digest = hashlib.sha256()
    for path in sorted(sources.rglob("*.py"), key=lambda path: path.relative_to(sources).as_posix()):
        name = path.relative_to(sources)
        if name.parts[0] != TUNING_LOG:
            digest.update(f"{name.as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _apply(sketch: Sketch, kernel: PrimFunc) -> Schedule:
    schedule = Schedule(tvm.IRModule({"main": kernel}))
    sketch.apply(schedule)
    return schedule


def _document(schedule: Schedule) -> list[Any]:
    """[instructions, decisions] as nothing but JSON's types."""
    trace = schedule.trace
    assert trace is not None, "the schedule keeps no trace"
    return _plain(trace.simplified(remove_postproc=True).as_json())


def _plain(value: Any) -> Any:
    """TVM's numbers as Python's, in lists and maps of any depth."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return getattr(value, "value", value)


def _parse(trace: str) -> tuple[list[Any], list[Any]]:
    try:
        document = json.loads(trace)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"the trace is not JSON ({error}); the record is damaged: delete it and tune again") from error
    match document:
        case [[*instructions], [*decisions]]:
            return instructions, decisions
    raise TraceError("the trace is not a pair of instructions and decisions; the record is damaged: delete it")


def _with_decisions(default: Schedule, kernel: PrimFunc, decisions: list[Any]) -> Schedule:
    """The schedule of the same sketch with these decisions: (index of the instruction, decision)."""
    wrong = TraceError(
        f"the trace's decisions {_short(decisions)} do not fit its kernel; the record is damaged: delete it"
    )
    _, own = _document(default)
    if not _alike(own, decisions):
        raise wrong
    assert default.trace is not None
    instructions = list(default.trace.simplified(remove_postproc=True).insts)
    schedule = Schedule(tvm.IRModule({"main": kernel}))
    try:
        Trace(instructions, {instructions[index]: decision for index, decision in decisions}).apply_to_schedule(
            schedule, remove_postproc=True
        )
    except (tvm.error.TVMError, ValueError, RuntimeError) as error:
        raise wrong from error
    # TVM takes another tile size where one does not divide its loop, without a word.
    if _document(schedule)[1] != decisions:
        raise wrong
    return schedule


def _alike(own: Sequence[Any], decisions: Sequence[Any]) -> bool:
    """Whether these are decisions of the same instructions, each as many positive sizes: TVM divides by them."""
    return len(own) == len(decisions) and all(
        isinstance(decision, list)
        and len(decision) == 2
        and decision[0] == index
        and isinstance(decision[1], list)
        and len(decision[1]) == len(sizes)
        and all(type(size) is int and size > 0 for size in decision[1])
        and math.prod(decision[1]) == math.prod(sizes)
        for (index, sizes), decision in zip(own, decisions, strict=True)
    )


def _kinds(instructions: Sequence[Any]) -> list[Any]:
    return [instruction[0] if isinstance(instruction, list) and instruction else None for instruction in instructions]


def _same_choices(own: Sequence[Any], decisions: Sequence[Any]) -> bool:
    """Whether these are decisions of the same instructions, each as many positive sizes, of whatever extent."""
    return _alike([[index, [1] * len(sizes)] for index, sizes in own], [_of_extent_one(each) for each in decisions])


def _of_extent_one(decision: Any) -> Any:
    match decision:
        case [index, [*sizes]] if all(type(size) is int and size > 0 for size in sizes):
            return [index, [1] * len(sizes)]
    return None


def _fitted(extent: int, wanted: Sequence[int]) -> list[int]:
    """Sizes whose product is ``extent``: the inner ones, from the innermost, as large as ``wanted`` allows."""
    sizes: list[int] = []
    for size in reversed(wanted[1:]):
        sizes.insert(0, widest_divisor(extent, size))
        extent //= sizes[0]
    return [extent, *sizes]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
