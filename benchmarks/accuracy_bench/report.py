"""docs/accuracy.md and docs/accuracy.json, which is also the record that the next table starts from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cells import Cell, Workshop
from .errors import TableError
from .table import Status, TableRow

INTRODUCTION = """# Accuracy

Written by `make accuracy-table`; do not edit. Every value is `intbert eval` of the artifact compiled for the machine
that made it, on the whole development set{limit}: integers, not a simulation of them. `float` is the float32
model that the row started from. `spread` is the largest less the smallest of several seeds, whose mean is the value.
`fewer bits` compares all tensors with float32. A row that falls short keeps its number. Numbers that were made on
another machine stay until they are made anew; training ends with other bits on another CPU, float models too.
"""


def write_report(workshop: Workshop, rows: Sequence[TableRow], folder: Path) -> tuple[Path, Path]:
    """Writes ``accuracy.md`` and ``accuracy.json`` into ``folder``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown, document = folder / "accuracy.md", folder / "accuracy.json"
    baselines = {name: workshop.finished_baseline(name) for name in _baselines(workshop)}
    markdown.write_text(_markdown(workshop, rows, baselines), encoding="utf-8")
    document.write_text(json.dumps(_document(workshop, rows, baselines), indent=2) + "\n", encoding="utf-8")
    return markdown, document


def _baselines(workshop: Workshop) -> list[str]:
    used = {row.baseline for row in workshop.plan.rows}
    return [name for name in workshop.plan.baselines if name in used]


def _document(workshop: Workshop, rows: Sequence[TableRow], baselines: dict[str, Cell | None]) -> dict[str, Any]:
    return {
        "limit": workshop.plan.limit,
        "baselines": [_public(cell) for cell in baselines.values() if cell is not None],
        "rows": [_json_row(row) for row in rows],
    }


def read_record(folder: Path) -> dict[str, Cell]:
    """The cells that the ``accuracy.json`` in ``folder`` shows, by name; TableError for a damaged one."""
    path = folder / "accuracy.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        cells = [*document["baselines"], *(cell for row in document["rows"] for cell in row["cells"])]
        return {cell["name"]: cell for cell in cells}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise TableError(f"{path} is damaged; remove it, or take it back from the repository") from None


def _public(cell: Cell) -> Cell:
    """The cell without paths of the machine that made it."""
    return {key: value for key, value in cell.items() if key != "checkpoint"}


def _json_row(row: TableRow) -> dict[str, Any]:
    names = (
        "name", "method", "scheme", "task", "metric", "float", "value", "spread", "seeds", "bits_reduction",
        "artifact_bytes", "goal", "status", "short_by", "missing_seeds",
    )  # fmt: skip
    return {**{name: getattr(row, name) for name in names}, "cells": list(row.cells)}


def _markdown(workshop: Workshop, rows: Sequence[TableRow], baselines: dict[str, Cell | None]) -> str:
    limit = "" if workshop.plan.limit is None else f"'s first {workshop.plan.limit} examples (a quick table)"
    counts = {status: sum(row.status is status for row in rows) for status in Status}
    parts = [
        INTRODUCTION.format(limit=limit),
        (
            f"Of {len(rows)} rows, {counts[Status.REACHED]} reach their goal, {counts[Status.SHORT]} fall short, "
            f"{counts[Status.NO_GOAL]} have none, and {counts[Status.NOT_RUN]} have not been run yet.\n"
        ),
        "## Rows\n",
        _grid(
            ("method", "scheme", "task", "metric", "float", "value", "spread", "seeds", "fewer bits", "MB", "goal", ""),
            [_cells(row) for row in rows],
        ),
        "## Float models\n",
        _grid(
            ("model", "task", "metric", "value", "examples"),
            [_baseline_cells(name, cell) for name, cell in baselines.items()],
        ),
        "## Commands\n",
        *(_commands(name, cell) for name, cell in baselines.items() if cell is not None),
        *(_commands(cell["name"], cell) for row in rows for cell in row.cells),
    ]
    return "\n".join(parts)


def _cells(row: TableRow) -> tuple[str, ...]:
    verdict = {
        Status.REACHED: "reached",
        Status.SHORT: f"**short** by {row.short_by}",
        Status.NO_GOAL: "",
        Status.NOT_RUN: "not run yet",
    }[row.status]
    if row.missing_seeds and row.seeds:
        verdict += f"; seeds {', '.join(map(str, row.missing_seeds))} not run yet"
    return (
        row.method,
        row.scheme,
        row.task,
        row.metric or "",
        _number(row.float),
        _number(row.value),
        _number(row.spread),
        str(len(row.seeds)),
        "" if row.bits_reduction is None else f"{row.bits_reduction:.2f}x",
        "" if row.artifact_bytes is None else f"{row.artifact_bytes / 1e6:.1f}",
        row.goal,
        verdict,
    )


def _baseline_cells(name: str, cell: Cell | None) -> tuple[str, ...]:
    if cell is None:
        return (name, "", "", "not run yet", "")
    return (name, cell["task"], cell["metric"], _number(cell["value"]), str(cell["n"]))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _commands(name: str, cell: Cell) -> str:
    lines = [f"    {run['command']}  # {run['seconds']:g} s" for run in cell["commands"]]
    return "\n".join([f"{name}, on {cell['machine']}:\n", *lines, ""])
