"""How a tuning run is shown: a live table on stderr, the same table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import console

if TYPE_CHECKING:
    from ..rpc.tuning.progress import Progress

COLUMNS = ("kernel", "calls", "share", "default us", "best us", "gain", "trials", "failed")
ESTIMATED_COLUMNS = ("kernel", "calls", "share", "default, estimated", "best, estimated", "gain", "trials", "failed")
REFRESHES_PER_SECOND = 4

Tell = Callable[[Sequence["Progress"], str], None]


@contextmanager
def display(trials: int, meter: str | None = None) -> Iterator[Tell]:
    """Shows the tasks while they are tuned, where stderr is a terminal; yields what to call with the news.

    ``meter``: what the times are estimated by; None when they are measured.
    """
    stderr = console.stderr()
    if not stderr.is_terminal:
        yield lambda progress, step: None
        return
    from rich.live import Live

    start = time.monotonic()
    seen: list[int] = []
    with Live(console=stderr, refresh_per_second=REFRESHES_PER_SECOND, transient=True) as live:

        def show(progress: Sequence[Progress], step: str) -> None:
            done = sum(each.trials for each in progress)
            seen.append(done)
            live.update(_table(progress, _state(progress, step, done - seen[0], trials - done, start, meter), meter))

        yield show


def rows(progress: Sequence[Progress]) -> list[tuple[object, ...]]:
    """A row a task, the one with the largest share of the model's time first."""
    total = sum(each.total for each in progress)
    ordered = sorted(progress, key=lambda each: each.total, reverse=True)
    return [
        (
            f"{each.task.operator} {each.task.shape}",
            each.task.calls,
            f"{each.total / total:.1%}" if total else "",
            _microseconds(each.default),
            _microseconds(each.best),
            f"{each.gain:.1%}",
            each.trials,
            each.failures,
        )
        for each in ordered
    ]


def columns(meter: str | None) -> tuple[str, ...]:
    """The titles of :func:`rows`, which say what was only estimated."""
    return COLUMNS if meter is None else ESTIMATED_COLUMNS


def summary(progress: Sequence[Progress], meter: str | None = None) -> str:
    """What the run came to, in a line: the sum over all calls of one inference of every bucket."""
    before, after = (sum(values) for values in ([e.total_default for e in progress], [e.total for e in progress]))
    trials, failures = sum(each.trials for each in progress), sum(each.failures for each in progress)
    gain = 1 - after / before if before else 0.0
    if meter is not None:
        return (
            f"estimates by {meter}, not measurements: the best schedules take {gain:.1%} less than the default ones; "
            f"{trials} trials, {failures} failed"
        )
    return (
        f"kernels: {before * 1e3:.3f} ms by default, {after * 1e3:.3f} ms tuned ({gain:.1%} less); "
        f"{trials} trials, {failures} failed"
    )


def _state(progress: Sequence[Progress], step: str, done: int, left: int, start: float, meter: str | None) -> str:
    seconds = time.monotonic() - start
    rate = done / seconds if seconds else 0.0
    remaining = f"at most {left / rate / 60:.0f} min left" if rate else ""
    words = [summary(progress, meter), step, f"{rate:.1f} trials/s", remaining]
    return " · ".join(word for word in words if word)


def _table(progress: Sequence[Progress], state: str, meter: str | None) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns(meter), box=None, pad_edge=False, caption=Text(state), caption_justify="left")
    for row in rows(progress):
        table.add_row(*(Text(console.cell(value)) for value in row))
    return table


def _microseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e6
