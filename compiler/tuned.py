"""Schedules from a tuning log, for the compiler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import TraceError, TuningLogError
from ..targets.target import Target
from ..targets.versions import installed_versions
from .kernels import Alternative, TunedKernel, workload_hash

if TYPE_CHECKING:
    from ..schedules.tuning_log import Record, TuningLog

TRIED = 8
"""Records of one workload, the best first, of which the first is taken whose trace still applies."""

Tell = Callable[[str], None]


class TunedSchedules:
    """The best records of ``log`` for kernels that run on ``target``.

    ``threads``: of the records; by default as many as the target has cores, one where it has a GPU, or
    else the one count that the log has.
    ``tell`` hears of records that do not apply any more, and of estimates that nobody has checked, which are not used.
    Raises TuningLogError as the log does.
    """

    def __init__(self, log: TuningLog, target: Target, threads: int | None = None, tell: Tell = lambda _: None) -> None:
        self._log = log
        self._features = target.tuning_features
        self._cores = target.kernel_threads
        self._threads = threads
        self._tell = tell
        self._told_of_unchecked = False
        self.estimated: set[str] = set()
        """The ids of the records that were used whose times are estimates."""
        self._tvm = str(installed_versions()["apache-tvm"])

    def __call__(self, alternatives: Sequence[Alternative]) -> TunedKernel | None:
        """The fastest of the ways to run an operator that the log knows, None when it knows none."""
        from ..schedules.tuning_log.record import ESTIMATED

        found = self.best(alternatives)
        if found is None:
            self._tell_of_unchecked(alternatives)
            return None
        tuned, record = found
        if record.source == ESTIMATED:
            self.estimated.add(record.id)
        return tuned

    def best(self, alternatives: Sequence[Alternative]) -> tuple[TunedKernel, Record] | None:
        """The same with its record."""
        hashes = list(dict.fromkeys(workload_hash(alternative.kernel) for alternative in alternatives))
        threads = self._threads_for(hashes)
        if threads is None:
            return None
        records = [
            record
            for hash in hashes
            for record in self._log.top(hash, TRIED, features=self._features, tvm=self._tvm, threads=threads)
        ]
        for record in sorted(records, key=_rank):
            tuned = self._applied(record, alternatives)
            if tuned is not None:
                return tuned, record
        return None

    def _applied(self, record: Record, alternatives: Sequence[Alternative]) -> TunedKernel | None:
        for alternative in alternatives:
            same = alternative.strategy.name == record.strategy
            if same and workload_hash(alternative.kernel) == record.workload.hash:
                try:
                    function = alternative.replay(record.trace)
                except TraceError as error:
                    self._tell(f"record {record.id[:8]} ({record.workload.operator} {record.workload.shape}): {error}")
                    return None
                return TunedKernel(alternative, function, record.id)
        words = f"record {record.id[:8]} ({record.workload.operator} {record.workload.shape})"
        self._tell(f"{words}: there is no strategy {record.strategy!r} for it any more; tune again")
        return None

    def _tell_of_unchecked(self, alternatives: Sequence[Alternative]) -> None:
        """Once: what no machine has run is no reason to change a schedule."""
        from ..schedules.tuning_log import Filter
        from ..schedules.tuning_log.record import UNCHECKED

        hashes = {workload_hash(alternative.kernel) for alternative in alternatives}
        unchecked = (Filter(workload=hash, outcome=UNCHECKED) for hash in hashes)
        if not self._told_of_unchecked and any(map(self._log.count, unchecked)):
            self._told_of_unchecked = True
            self._tell(
                f"{self._log}: its unchecked records of this model are not used; tune again with a --device that runs "
                "the candidates"
            )

    def _threads_for(self, hashes: Iterable[str]) -> int | None:
        if self._threads is not None:
            return self._threads
        counts = self._log.thread_counts(hashes, features=self._features, tvm=self._tvm)
        if not counts or self._cores in counts:
            return self._cores if counts else None
        if len(counts) > 1:
            known = ", ".join(map(str, counts))
            raise TuningLogError(
                f"{self._log}: its records were measured with {known} threads, not with the target's {self._cores}; "
                "say with --threads which to use"
            )
        return next(iter(counts))


def _rank(record: Record) -> tuple[bool, float]:
    """As the log ranks: estimates come last."""
    from ..schedules.tuning_log.record import MEASURED

    seconds = record.median_seconds
    assert seconds is not None, "the log's best records have times"
    return record.source != MEASURED, seconds
