"""The plan: which float models, which rows, and what each has to reach. Read from plan.toml."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from .errors import TableError

PLAN = Path(__file__).parent / "plan.toml"


@dataclass(frozen=True)
class Goal:
    """What a row has to reach; None where nothing is asked."""

    at_least: float | None = None
    """Of the metric."""
    drop: float | None = None
    """Points below the float model, at most."""
    reduction: float | None = None
    """Times fewer bits than float32."""


@dataclass(frozen=True)
class Baseline:
    """A float checkpoint."""

    name: str
    task: str
    source: str
    """``minilm``, or the folder of a checkpoint."""
    finetune: tuple[str, ...] | None = None
    """What ``intbert finetune`` is given; None: the source is the baseline as it is."""


@dataclass(frozen=True)
class Row:
    """A method and its scheme on a task: one cell for every seed."""

    name: str
    method: str
    scheme: str
    baseline: str
    quantize: tuple[str, ...]
    """What ``intbert quantize`` is given beside the method."""
    trained: bool = False
    seeds: tuple[int, ...] = (0,)
    goal: Goal = Goal()
    quick: bool = False


@dataclass(frozen=True)
class Plan:
    """The whole table. ``limit``: examples that cells are judged on; None: all."""

    baselines: Mapping[str, Baseline]
    rows: tuple[Row, ...]
    lengths: str
    calibration_sentences: int
    limit: int | None = None


def read_plan(path: Path = PLAN, quick: bool = False) -> Plan:
    """The plan in ``path``, or its quick part; TableError for a row that makes no sense."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        baselines = {
            name: _made(Baseline, f"baseline {name}", {"name": name, **table})
            for name, table in document["baselines"].items()
        }
        rows = tuple(_row(table) for table in document["rows"])
        chosen = document | document["quick"] if quick else document
        plan = Plan(
            baselines,
            tuple(row for row in rows if row.quick or not quick),
            chosen["lengths"],
            chosen["calibration_sentences"],
            chosen.get("limit"),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TableError(f"{path}: not a plan ({error})") from None
    _check(plan, path)
    return plan


def _row(table: Mapping[str, Any]) -> Row:
    where = f"row {table.get('name', '?')}"
    return _made(Row, where, {**table, "goal": _made(Goal, f"the goal of {where}", table.get("goal", {}))})


def _made(kind: type, where: str, table: Mapping[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(table) - known):
        raise TableError(f"{where}: there is no '{unknown[0]}'; there are {', '.join(sorted(known))}")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
    except TypeError as error:
        raise TableError(f"{where}: {error}") from None


def _check(plan: Plan, path: Path) -> None:
    names = [row.name for row in plan.rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TableError(f"{path}: two rows are called {twice[0]}")
    for row in plan.rows:
        if row.baseline not in plan.baselines:
            raise TableError(f"{path}: row {row.name} has the baseline {row.baseline}, which there is not")
        if not row.seeds:
            raise TableError(f"{path}: row {row.name} has no seeds")
