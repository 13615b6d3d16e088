"""Records from files that others wrote: what is bad is counted, shown and passed over, or refuses the whole file."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import TuningLogError
from .record import Record

if TYPE_CHECKING:
    from .log import TuningLog

LONGEST_LINE = 64 * 2**20
"""Bytes; what is longer is no line of ours, and is not read into memory."""

SHOWN = 5
"""How many bad lines are kept with their reasons."""


@dataclass(frozen=True)
class BadLine:
    """A line (1 is the first) that is no record, and why."""

    file: str
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}: {self.reason}"


@dataclass
class Imported:
    """What became of a file: records that are ``new``, that were ``known``, and lines that are ``bad``.

    ``examples``: the first bad lines.
    """

    new: int = 0
    known: int = 0
    bad: int = 0
    examples: list[BadLine] = field(default_factory=list)

    def refuse(self, path: Path, number: int, reason: str) -> None:
        """Counts a bad line."""
        self.bad += 1
        if len(self.examples) < SHOWN:
            self.examples.append(BadLine(str(path), number, reason))


def import_records(log: TuningLog, read: Callable[[Imported], Iterator[Record]], strict: bool) -> Imported:
    """Adds the records that ``read`` yields, which tells its argument of bad lines.

    When ``strict`` everything is read once before, and TuningLogError raised for the first bad line.
    """
    if strict:
        checked = Imported()
        for _ in read(checked):
            pass
        if checked.examples:
            raise TuningLogError(
                f"{checked.examples[0]}; {checked.bad} in all, nothing was imported; mend them, or leave out --strict"
            )
    result = Imported()
    added = log.add_many(read(result))
    result.new, result.known = added.new, added.known
    return result


def numbered_lines(path: Path, result: Imported) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, compressed where its name ends in ``.gz``, that are not empty. TuningLogError when it
    cannot be read."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as source:
            while line := source.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    result.refuse(path, number, f"longer than {LONGEST_LINE} bytes; it and what follows is not read")
                    return
                if line.strip():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        # Of a compressed file nothing can be read beyond the place where it is damaged or ends.
        result.refuse(path, number + 1, f"the compressed file is damaged or cut off here ({error}); the rest is lost")
    except OSError as error:
        raise TuningLogError(f"{path} cannot be read ({error.strerror or error}); look at the path") from error


def parse_json(line: bytes) -> Any:
    """The JSON document of a line; TuningLogError when it is none."""
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TuningLogError(f"no JSON ({error})") from None
