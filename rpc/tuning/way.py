"""What a run knows of one way to compute a kernel: the candidates that were measured, the default, the best."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from ...compiler.kernels import Alternative, workload_hash
from ...errors import TraceError
from ...schedules.space import trace_json
from ...schedules.tuning_log import Record, Workload
from ...schedules.tuning_log.record import USABLE
from .search import Candidate, Search

WRONG_BYTES = "its outputs are not the oracle's"


@dataclass
class Way:
    """An alternative of a task. ``known``: of each candidate, by its trace, the record that counts; ``counted``: the
    outcomes of records that may be the best.

    Whatever disturbs a measurement makes it longer, so of several of one candidate the shortest counts.
    """

    alternative: Alternative
    workload: Workload
    default: Candidate
    counted: tuple[str, ...] = (USABLE,)
    search: Search | None = None
    known: dict[str, Record] = field(default_factory=dict)
    over: bool = False
    _best: Candidate | None = None

    @classmethod
    def of(cls, alternative: Alternative, operator: str, shape: str, counted: tuple[str, ...] = (USABLE,)) -> Way:
        """A way that nothing is known of."""
        import tvm

        text = tvm.ir.save_json(tvm.IRModule({"main": alternative.kernel.with_attr("global_symbol", "main")}))
        schedule = alternative.default()
        default = Candidate(alternative.finish(schedule), trace_json(schedule), None)
        return cls(alternative, Workload(workload_hash(alternative.kernel), text, operator, shape), default, counted)

    def hear(self, record: Record, candidate: Candidate | None = None) -> None:
        """Takes a record in; ``candidate`` is what was measured, None for a record of an earlier run."""
        kept = self.known.get(record.trace)
        if kept is None or self._counts_more(record, kept):
            self.known[record.trace] = record
        best = self.best
        if candidate is not None and best is not None and best.trace == candidate.trace:
            self._best = candidate

    @property
    def default_seconds(self) -> float | None:
        """Of the schedule that is taken without a log; None while it is not known."""
        record = self.known.get(self.default.trace)
        return None if record is None else record.median_seconds

    @property
    def best(self) -> Record | None:
        """The fastest candidate's record."""
        return next(iter(self.ranked()), None)

    def ranked(self) -> list[Record]:
        """A record of each candidate that may be the best, the fastest first."""
        counted = [record for record in self.known.values() if record.outcome in self.counted]
        return sorted(counted, key=lambda record: record.median_seconds or 0.0)

    def transferred(self, records: Iterable[Record]) -> list[Candidate]:
        """Candidates for this kernel that are as the records' for other ones; those that nothing here is like are
        left out."""
        found = []
        for record in records:
            if record.strategy == self.alternative.strategy.name:
                with suppress(TraceError):
                    schedule = self.alternative.nearest(record.trace)
                    if schedule is not None:
                        found.append(Candidate(self.alternative.finish(schedule), trace_json(schedule), None))
        return found

    def contenders(self) -> list[Candidate]:
        """The default and the best candidate: whoever is to be compared must be measured at about the same time."""
        best = self.best
        if best is None or best.trace == self.default.trace:
            return [self.default]
        if self._best is None or self._best.trace != best.trace:
            self._best = Candidate(self.alternative.replay(best.trace), best.trace, None)
        return [self.default, self._best]

    def _counts_more(self, record: Record, kept: Record) -> bool:
        if WRONG_BYTES in (record.error, kept.error):
            return kept.error != WRONG_BYTES
        if record.outcome not in self.counted or kept.outcome not in self.counted:
            return record.outcome in self.counted
        return (record.median_seconds or 0.0) < (kept.median_seconds or 0.0)
