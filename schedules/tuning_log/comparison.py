"""Two logs, or two releases of TVM in one, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .record import Record


@dataclass(frozen=True)
class Pair:
    """The best of one workload, set of features and number of threads on each side; None where a side has none."""

    first: Record | None
    second: Record | None

    def __post_init__(self) -> None:
        assert self.first is not None or self.second is not None

    @property
    def either(self) -> Record:
        """A record that says what both are of."""
        record = self.first or self.second
        assert record is not None
        return record

    @property
    def ratio(self) -> float | None:
        """How many times as long the second takes; None when a side has none."""
        if self.first is None or self.second is None:
            return None
        first, second = self.first.median_seconds, self.second.median_seconds
        assert first is not None
        assert second is not None
        return second / first


def compare(first: Iterable[Record], second: Iterable[Record]) -> list[Pair]:
    """Pairs of what :meth:`.TuningLog.bests` returns for each side, in order of operator, shape, features, threads."""
    sides = [{_key(record): record for record in side} for side in (first, second)]
    pairs = [Pair(sides[0].get(key), sides[1].get(key)) for key in sides[0].keys() | sides[1].keys()]
    return sorted(
        pairs, key=lambda pair: (pair.either.workload.operator, pair.either.workload.shape, *_key(pair.either))
    )


def _key(record: Record) -> tuple[str, str, int]:
    # Without the words: two logs may have others for one hash.
    return record.workload.hash, " ".join(sorted(record.features)), record.threads
