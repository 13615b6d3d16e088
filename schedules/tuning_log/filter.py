"""Which records of a log are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ...errors import TuningLogError
from .record import OUTCOMES


@dataclass(frozen=True)
class Filter:
    """Each field narrows the choice; None leaves it open.

    ``operator``, ``strategy``, ``target`` (the preset's name) and ``device`` (its name) are exact; ``workload`` is the
    beginning of a hash; ``tvm`` a release; ``outcome`` one of :data:`.record.OUTCOMES`; ``since``: tuned then or later.

    Raises TuningLogError when ``outcome`` is none of them, or ``since`` has no time zone.
    """

    operator: str | None = None
    workload: str | None = None
    strategy: str | None = None
    target: str | None = None
    device: str | None = None
    tvm: str | None = None
    outcome: str | None = None
    since: datetime | None = None

    def __post_init__(self) -> None:
        if self.outcome not in (None, *OUTCOMES):
            raise TuningLogError(f"no record's outcome is {self.outcome!r}; there are {', '.join(OUTCOMES)}")
        if self.since is not None and self.since.tzinfo is None:
            raise TuningLogError(f"{self.since} has no time zone; add one, such as +00:00")


EVERYTHING = Filter()
"""Leaves everything open."""
