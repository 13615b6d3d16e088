"""A sweep's file: whole at any moment, and gone on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from intbert.errors import InputError, RemoteError
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark.sweep import Cell, Outcome, SweepFile, cells, sweep

WANTED = cells(["pi", "nano"], [32, 128], [1, None], Plan())


def quiet(message: str) -> None:
    pass


def test_every_combination_device_by_device() -> None:
    assert [(cell.device, cell.plan.length, cell.plan.threads) for cell in WANTED] == [
        *[("pi", 32, 1), ("pi", 32, None), ("pi", 128, 1), ("pi", 128, None)],
        *[("nano", 32, 1), ("nano", 32, None), ("nano", 128, 1), ("nano", 128, None)],
    ]


@pytest.mark.parametrize("stop", range(len(WANTED) + 1))
def test_a_sweep_that_was_killed_goes_on(tmp_path: Path, stop: int) -> None:
    """Killed after ``stop`` cells: none of those is measured again."""
    path, measured = tmp_path / "sweep.json", []

    def measure(cell: Cell) -> dict[str, Any]:
        if len(measured) == stop and not path.with_name("resumed").exists():
            raise KeyboardInterrupt
        measured.append(cell)
        return {"p50_ms": float(len(measured))}

    if stop < len(WANTED):
        with pytest.raises(KeyboardInterrupt):
            list(sweep(WANTED, SweepFile(path, "a"), measure, quiet))
    path.with_name("resumed").touch()
    outcomes = list(sweep(WANTED, SweepFile(path, "a"), measure, quiet))
    assert measured == WANTED
    assert [outcome.result for outcome in outcomes] == [{"p50_ms": float(index + 1)} for index in range(len(WANTED))]
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_cell_that_failed_is_tried_again(tmp_path: Path) -> None:
    def lost(cell: Cell) -> dict[str, Any]:
        if cell.device == "nano":
            raise RemoteError("nano: gone")
        return {"p50_ms": 1.0}

    file = SweepFile(tmp_path / "sweep.json", "a")
    assert [outcome.error for outcome in sweep(WANTED, file, lost, quiet)] == [None] * 4 + ["nano: gone"] * 4
    again = SweepFile(tmp_path / "sweep.json", "a")
    assert all(outcome.error is None for outcome in sweep(WANTED, again, lambda cell: {"p50_ms": 2.0}, quiet))
    assert len(json.loads((tmp_path / "sweep.json").read_text())["cells"]) == len(WANTED)


def test_another_plan_is_another_cell(tmp_path: Path) -> None:
    file = SweepFile(tmp_path / "sweep.json", "a")
    file.keep(Outcome(WANTED[0], {"p50_ms": 1.0}))
    assert file.finished(WANTED[0]) == {"p50_ms": 1.0}
    assert file.finished(Cell("pi", Plan(length=32, threads=1, precision=0.1))) is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the file of a sweep"):
        SweepFile(tmp_path, "a")
