"""docs/accuracy.md and docs/accuracy.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cells import Workshop
from .table import Status, TableRow

INTRODUCTION = """# Accuracy

Written by `make accuracy-table`; do not edit. Every value is `intbert eval` of the artifact compiled for the machine
that made the table, on the whole development set{limit}: integers, not a simulation of them. `float` is the float32
model that the row started from. `spread` is the largest less the smallest of several seeds, whose mean is the value.
`fewer bits` compares all tensors with float32. A row that falls short keeps its number.
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


def _document(
    workshop: Workshop, rows: Sequence[TableRow], baselines: dict[str, dict[str, Any] | None]
) -> dict[str, Any]:
    return {
        "limit": workshop.plan.limit,
        "baselines": [
            {"name": name, **({"value": None} if cell is None else _public(cell))} for name, cell in baselines.items()
        ],
        "rows": [_json_row(row) for row in rows],
    }


def _public(cell: dict[str, Any]) -> dict[str, Any]:
    return {key: cell[key] for key in ("task", "metric", "value", "n", "commands")}


def _json_row(row: TableRow) -> dict[str, Any]:
    names = (
        "name", "method", "scheme", "task", "metric", "float", "value", "spread", "seeds", "bits_reduction",
        "artifact_bytes", "goal", "status", "short_by", "missing_seeds",
    )  # fmt: skip
    cells = [{"cell": cell["name"], "value": cell["value"], "commands": cell["commands"]} for cell in row.cells]
    return {**{name: getattr(row, name) for name in names}, "cells": cells}


def _markdown(workshop: Workshop, rows: Sequence[TableRow], baselines: dict[str, dict[str, Any] | None]) -> str:
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


def _baseline_cells(name: str, cell: dict[str, Any] | None) -> tuple[str, ...]:
    if cell is None:
        return (name, "", "", "not run yet", "")
    return (name, cell["task"], cell["metric"], _number(cell["value"]), str(cell["n"]))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _commands(name: str, cell: dict[str, Any]) -> str:
    lines = [f"    {run['command']}  # {run['seconds']:g} s" for run in cell["commands"]]
    return "\n".join([f"{name}:\n", *lines, ""])
