"""A sweep: one artifact over devices, lengths and thread counts, in one JSON file that a killed sweep goes on from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from ...compiler.staging import staged_file
from ...errors import InputError, IntbertError
from .plan import Plan

SCHEMA = 1

Measure = Callable[["Cell"], dict[str, Any]]
"""Measures a cell on its device; what it returns is kept as the cell's result."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One measurement of a sweep."""

    device: str
    plan: Plan

    @property
    def key(self) -> dict[str, Any]:
        """What makes it this cell: the device, and all of the plan."""
        return {"device": self.device, **asdict(self.plan)}

    def __str__(self) -> str:
        length = "the longest bucket" if self.plan.length is None else f"{self.plan.length} tokens"
        threads = "the default threads" if self.plan.threads is None else f"{self.plan.threads} thread(s)"
        return f"{self.device}, {length}, {threads}"


def cells(
    devices: Sequence[str], lengths: Sequence[int | None], threads: Sequence[int | None], plan: Plan
) -> list[Cell]:
    """Every combination, a device's cells one after the other."""
    return [
        Cell(device, replace(plan, length=length, threads=count))
        for device, length, count in product(devices, lengths, threads)
    ]


@dataclass(frozen=True)
class Outcome:
    """A cell with its result, or with the error that kept it from one."""

    cell: Cell
    result: dict[str, Any] | None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in a sweep's file."""
        return {"cell": self.cell.key, "result": self.result, "error": self.error}


class SweepFile:
    """The sweep of the artifact whose manifest has the SHA-256 ``artifact``, kept in ``path``.

    Raises InputError when ``path`` holds something else, or the sweep of another artifact.
    """

    def __init__(self, path: Path, artifact: str) -> None:
        self.path = path
        self._document: dict[str, Any] = {"schema": SCHEMA, "artifact": artifact, "cells": []}
        if path.exists():
            self._document = _read(path, artifact)

    def finished(self, cell: Cell) -> dict[str, Any] | None:
        """The result of a cell that was measured before."""
        found = self._entry(cell)
        return None if found is None else found.get("result")

    def keep(self, outcome: Outcome) -> None:
        """Writes a cell's result, or why it has none; the file is whole at any moment."""
        entry = outcome.to_json()
        old = self._entry(outcome.cell)
        if old is None:
            self._document["cells"].append(entry)
        else:
            old.update(entry)
        with staged_file(self.path, force=True) as aside:
            aside.write_text(json.dumps(self._document, indent=1) + "\n", encoding="utf-8")

    def _entry(self, cell: Cell) -> dict[str, Any] | None:
        return next((entry for entry in self._document["cells"] if entry["cell"] == cell.key), None)


def sweep(wanted: Iterable[Cell], file: SweepFile | None, measure: Measure, tell: Tell) -> Iterator[Outcome]:
    """Measures what ``file`` does not have yet; a cell that fails costs only itself."""
    for cell in wanted:
        known = None if file is None else file.finished(cell)
        if known is not None:
            yield Outcome(cell, known)
            continue
        tell(f"measuring {cell}")
        try:
            result = measure(cell)
        except IntbertError as error:
            outcome = Outcome(cell, None, str(error))
        else:
            outcome = Outcome(cell, result)
        if file is not None:
            file.keep(outcome)
        yield outcome


def _read(path: Path, artifact: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        entries = document["cells"] if document["schema"] == SCHEMA else None
        right = entries is not None and all(isinstance(each["cell"], dict) and "result" in each for each in entries)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        document, right = {}, False
    if not right:
        raise InputError(f"{path} is not the file of a sweep; choose another --output")
    if document["artifact"] != artifact:
        raise InputError(
            f"{path} is the sweep of another artifact, or of an older state of it; choose another --output"
        )
    return document
