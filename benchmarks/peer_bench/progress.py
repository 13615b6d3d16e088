"""The bar that a benchmark shows while it measures."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .measure import Progress as Told


@contextmanager
def shown_progress(console: Console, total: int) -> Iterator[Told]:
    """Yields what is to be told of the ``total`` measured runs.

    A bar that redraws itself in a thread of its own would take time from the measured process.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        task = progress.add_task("", total=total)
        yield lambda what, runs: progress.update(task, description=what, advance=runs, refresh=True)
