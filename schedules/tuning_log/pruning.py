"""What pruning would delete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PrunePlan:
    """Made by :meth:`.TuningLog.prune`. ``ids``: the records that go; ``keep``: how many of each workload, device,
    features, number of threads and release of TVM stay."""

    keep: int
    ids: tuple[str, ...] = field(repr=False)
    by_operator: Mapping[str, int]
    by_outcome: Mapping[str, int]

    @classmethod
    def of(cls, keep: int, rows: Sequence[tuple[str, str, str]]) -> PrunePlan:
        """Of (id, operator, outcome) for each record that goes."""
        return cls(
            keep, tuple(id for id, _, _ in rows), _counts(row[1] for row in rows), _counts(row[2] for row in rows)
        )


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
