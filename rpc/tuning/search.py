"""MetaSchedule's evolutionary search over one alternative of a task: candidates out, measurements in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ...compiler.kernels import Alternative
from ...schedules.space import space, trace_json
from ...targets.target import Target

POPULATION = 64
"""Candidates of a generation; the cost model ranks them. MetaSchedule's 512 take 15 s a round on two cores."""
GENERATIONS = 3
UNMEASURED = 16
"""How many of a population are drawn at random at the least."""
TENSOR_INTRINSICS = "tvm.s_tir.tensor_intrin"


@dataclass(frozen=True)
class Candidate:
    """A scheduled kernel: ``trace`` is MetaSchedule's JSON of how it was scheduled, ``drawn`` what it drew."""

    function: Any
    trace: str
    drawn: Any


class Search:
    """Draws candidates of ``alternative``, at most ``most``, ``round_size`` at a time.

    ``database`` is a MetaSchedule database with what is known of the kernel, ``cost_model`` ranks candidates.
    """

    def __init__(
        self,
        alternative: Alternative,
        target: Target,
        database: Any,
        cost_model: Any,
        *,
        most: int,
        round_size: int,
        seed: int,
    ) -> None:
        import tvm
        from tvm.s_tir import meta_schedule

        self.alternative = alternative
        strategy = meta_schedule.search_strategy.EvolutionarySearch(
            population_size=POPULATION, init_min_unmeasured=UNMEASURED, genetic_num_iters=GENERATIONS
        )
        module = tvm.IRModule({"main": alternative.kernel})
        generator = space(alternative.strategy, alternative.kernel, alternative.workload)
        with _without_tvms_intrinsics():
            self._context = meta_schedule.TuneContext(
                module, target=target.tvm(), space_generator=generator, search_strategy=strategy, rand_state=seed
            )
        self._cost_model = cost_model
        sketches = self._context.generate_design_space()
        self._open = any(_has_choices(sketch) for sketch in sketches) or len(sketches) > 1
        if self._open:
            self._context.pre_tuning(most, round_size, sketches, database, cost_model)

    def propose(self) -> list[Candidate]:
        """The next round; empty when the space, or ``most``, is used up."""
        drawn = self._context.generate_measure_candidates() if self._open else None
        if not drawn:
            self._open = False
            return []
        return [self._candidate(each) for each in drawn]

    def learn(self, candidates: Sequence[Candidate], seconds: Sequence[Sequence[float]]) -> None:
        """Tells the search how long a whole round took; no seconds where a candidate failed."""
        from tvm.s_tir.meta_schedule.runner import RunnerResult

        results = [
            RunnerResult(list(samples), None) if samples else RunnerResult(None, "failed") for samples in seconds
        ]
        drawn = [candidate.drawn for candidate in candidates]
        self._context.notify_runner_results(drawn, results)
        self._cost_model.update(self._context, drawn, results)

    def _candidate(self, drawn: Any) -> Candidate:
        return Candidate(self.alternative.finish(drawn.sch), trace_json(drawn.sch), drawn)


def _has_choices(sketch: Any) -> bool:
    return bool(sketch.trace.decisions)


@contextmanager
def _without_tvms_intrinsics() -> Iterator[None]:
    """TuneContext imports TVM's own tensor intrinsics, none of which we use: 18 s of one core."""
    absent = TENSOR_INTRINSICS not in sys.modules
    if absent:
        sys.modules[TENSOR_INTRINSICS] = ModuleType(TENSOR_INTRINSICS)
    try:
        yield
    finally:
        if absent:
            del sys.modules[TENSOR_INTRINSICS]
