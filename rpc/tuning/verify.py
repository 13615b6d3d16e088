"""Measures again what a log says is best: whether it is still right, and still as fast."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...compiler.artifact import Bucket
from ...compiler.model import QuantizedModel
from ...compiler.tasks import tasks_of
from ...compiler.tuned import TunedSchedules
from ...targets.target import Target
from ..on_board.kernels import Request
from .arguments import write_arguments
from .boards import Place
from .result import Machine, Measured
from .run import opened_bench
from .way import WRONG_BYTES

if TYPE_CHECKING:
    from ...schedules.tuning_log import Record, TuningLog

REPEATS = 9
LEAST_MS = 5.0


@dataclass(frozen=True)
class Verified:
    """A record measured again: ``seconds`` is the new median, None when ``problem`` says why there is none."""

    record: Record
    seconds: float | None
    problem: str | None

    @property
    def ratio(self) -> float | None:
        """The new time to the record's: 1 where nothing changed."""
        before = self.record.median_seconds
        return None if self.seconds is None or before is None else self.seconds / before

    def drifted(self, tolerance: float) -> bool:
        """Whether it is wrong now, or its time changed by more than the share ``tolerance``."""
        return self.ratio is None or not 1 / (1 + tolerance) <= self.ratio <= 1 + tolerance

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "record": self.record.id,
            "operator": self.record.workload.operator,
            "shape": self.record.workload.shape,
            "strategy": self.record.strategy,
            "record_us": (self.record.median_seconds or 0.0) * 1e6,
            "measured_us": None if self.seconds is None else self.seconds * 1e6,
            "ratio": self.ratio,
            "problem": self.problem,
        }


def verify(
    model: QuantizedModel,
    target: Target,
    buckets: Sequence[Bucket],
    log: TuningLog,
    place: Place,
    *,
    sample: int | None = None,
    threads: int | None = None,
) -> list[Verified]:
    """Measures the best record of each kernel of ``model`` again, or of the ``sample`` slowest of them.

    Raises what tuning raises.
    """
    schedules = TunedSchedules(log, target, threads)
    tasks = tasks_of(model, buckets, target.kernel_features, target.cuda)
    known = [(task, *found) for task in tasks if (found := schedules.best(task.alternatives)) is not None]
    known.sort(key=lambda each: each[0].calls * (each[2].median_seconds or 0.0), reverse=True)
    verified: list[Verified] = []
    with opened_bench([place], target) as (bench, folder):
        for number, (task, tuned, record) in enumerate(known[:sample]):
            expected = task.expected_sha256(tuned.alternative)
            request = Request(len(task.outputs), record.threads, REPEATS, LEAST_MS, target.cuda is not None)
            arguments = write_arguments(folder, f"arguments-{number}", task, tuned.alternative)

            def heard(
                index: int, measured: Measured, board: Machine | None, record: Record = record, expected: str = expected
            ) -> None:
                verified.append(_judged(record, measured, expected))

            bench.measure([tuned.function], arguments, request, heard)
    return verified


def _judged(record: Record, measured: Measured, expected: str) -> Verified:
    if measured.error is not None:
        return Verified(record, None, measured.error)
    if measured.sha256 != expected:
        return Verified(record, None, WRONG_BYTES)
    return Verified(record, statistics.median(measured.seconds), None)
