"""What the commands print: results on stdout, progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")


def print_json(document: Mapping[str, Any]) -> None:
    """Prints ``document`` as one JSON document."""
    print(json.dumps(document, ensure_ascii=False, allow_nan=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None, least_width: int = 0
) -> None:
    """Prints a table; columns of numbers are aligned to the right. A display narrower than ``least_width`` is taken to
    be as wide: folded, a table of many numbers cannot be read."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    Console(width=max(Console().width, least_width)).print(table)


def cell(value: object) -> str:
    """How a table shows ``value``."""
    if isinstance(value, float):
        if 0 < abs(value) < 0.01:
            return f"{value:.3g}"
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
    return "" if value is None else str(value)


def progress(iterable: Iterable[T], description: str, total: int) -> Iterable[T]:
    """Passes ``iterable`` on and shows on stderr how far it got."""
    from rich.progress import track

    console = stderr()
    return track(iterable, description, total=total, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """Shows on stderr which step runs and for how long; yields what to call with the name of each step."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task("", total=None)
        yield lambda step: display.update(task, description=step)


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Ends the block at SIGTERM and at an interrupt from the keyboard, which is how it is meant to end."""
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        return


def say(message: str) -> None:
    """Prints a line on stderr."""
    stderr().print(message, markup=False, highlight=False, soft_wrap=True)


def stderr() -> Console:
    """A console on what is stderr now."""
    from rich.console import Console

    return Console(stderr=True)
