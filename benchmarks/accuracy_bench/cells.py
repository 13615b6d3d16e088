"""Cells: one baseline or one seed of one row, made once, kept as JSON, and found again by the next run.

A cell that was made elsewhere stands in the record, the table's own JSON: it is shown until it is made here too.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from peer_bench.machine import cpu_features, cpu_model

from .calibration import write_calibration
from .commands import Intbert, Run
from .errors import TableError
from .plan import Baseline, Plan, Row

MAX_LENGTH = 128


Cell = dict[str, Any]
"""What is kept of a cell: its name, the digest of its definition, the machine, the score, the commands."""


@dataclass(frozen=True)
class Workshop:
    """Makes cells below ``build`` from the GLUE folder ``data``; ``tell`` is told what runs. ``record``: by name,
    the cells that an earlier table shows."""

    plan: Plan
    build: Path
    data: Path
    tell: Callable[[str], None]
    record: Mapping[str, Cell] = field(default_factory=dict)

    def baseline_cell(self, name: str) -> Cell:
        """The float model ``name``: its score, and the folder of its checkpoint."""
        baseline = self.plan.baselines[name]
        return self._kept(f"baseline.{name}", self._definition(baseline), lambda: self._make_baseline(baseline))

    def row_cell(self, row: Row, seed: int) -> Cell:
        """One seed of ``row``."""
        name = f"{row.name}.{seed}"
        return self._kept(name, self._row_definition(row, seed), lambda: self._make_row(row, seed))

    def finished_row(self, row: Row, seed: int) -> Cell | None:
        """The cell where it has been made, here or elsewhere."""
        return self._finished(f"{row.name}.{seed}", self._row_definition(row, seed))

    def finished_baseline(self, name: str) -> Cell | None:
        """The float model's cell where it has been made, here or elsewhere."""
        return self._finished(f"baseline.{name}", self._definition(self.plan.baselines[name]))

    def _finished(self, name: str, definition: dict[str, Any]) -> Cell | None:
        recorded = self.record.get(name)
        return self._read(name, definition) or (recorded if _fits(recorded, definition) else None)

    def _definition(self, baseline: Baseline) -> dict[str, Any]:
        return {"baseline": asdict(baseline), "limit": self.plan.limit}

    def _row_definition(self, row: Row, seed: int) -> dict[str, Any]:
        """What decides the cell's number: another definition is another cell."""
        decisive = {"method": row.method, "quantize": row.quantize, "trained": row.trained, "seed": seed}
        return {
            **decisive,
            **self._definition(self.plan.baselines[row.baseline]),
            "calibration_sentences": None if row.trained else self.plan.calibration_sentences,
            "lengths": self.plan.lengths,
        }

    def _path(self, name: str) -> Path:
        return self.build / "cells" / f"{name}.json"

    def _read(self, name: str, definition: dict[str, Any]) -> Cell | None:
        try:
            cell = json.loads(self._path(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            raise TableError(f"{self._path(name)} is damaged; remove it to have it made again") from None
        return cell if _fits(cell, definition) else None

    def _kept(self, name: str, definition: dict[str, Any], make: Callable[[], Cell]) -> Cell:
        cell = self._read(name, definition)
        if cell is None:
            self.tell(name)
            self._forget(name, definition)
            cell = {"name": name, "digest": _digest(definition), "machine": _machine(), **make()}
            path = self._path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            staging = path.with_suffix(".part")
            staging.write_text(json.dumps(cell, indent=2) + "\n", encoding="utf-8")
            staging.replace(path)
        return cell

    def _forget(self, name: str, definition: dict[str, Any]) -> None:
        """Removes what was made for another definition of the cell; what a killed run left of this one stays."""
        folder, mark = self.build / name, self.build / name / "definition"
        if folder.exists() and (not mark.exists() or mark.read_text() != _digest(definition)):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(_digest(definition))

    def _make_baseline(self, baseline: Baseline) -> Cell:
        intbert, runs = Intbert(self.build / "logs" / f"baseline.{baseline.name}.log"), []
        checkpoint = source_folder(baseline.source)
        if baseline.finetune is not None:
            source, checkpoint = checkpoint, self.build / f"baseline.{baseline.name}" / "float"
            task = ("--task", baseline.task, "--data", self.data)
            runs += _step(checkpoint, intbert, "finetune", source, *task, *baseline.finetune, "-o", checkpoint)
        score = self._eval(intbert, checkpoint, baseline.task)
        return {"checkpoint": str(checkpoint), **_score(score), **_record([*runs, score])}

    def _make_row(self, row: Row, seed: int) -> Cell:
        from intbert import load_quantized
        from intbert.quantization import load_float_model
        from intbert.quantization.size import bits_reduction

        baseline = self.plan.baselines[row.baseline]
        original = self.baseline_cell(row.baseline)
        checkpoint = Path(original["checkpoint"])
        name = f"{row.name}.{seed}"
        intbert, folder = Intbert(self.build / "logs" / f"{name}.log"), self.build / name
        quantized, artifact = folder / "quantized", folder / "artifact"
        runs = _step(quantized, intbert, *self._quantize(row, baseline, seed, checkpoint, quantized))
        compiled = _step(
            artifact, intbert, "compile", quantized, "-t", "host", "--lengths", self.plan.lengths, "-o", artifact
        )
        score = self._eval(intbert, artifact, baseline.task)
        cell = {
            **_score(score),
            "float": original["value"],
            "bits_reduction": bits_reduction(load_float_model(checkpoint).architecture, load_quantized(quantized)),
            "artifact_bytes": sum(path.stat().st_size for path in artifact.iterdir()),
            **_record([*runs, *compiled, score]),
        }
        shutil.rmtree(artifact)
        return cell

    def _quantize(self, row: Row, baseline: Baseline, seed: int, checkpoint: Path, output: Path) -> list[object]:
        command: list[object] = ["quantize", checkpoint, "--method", row.method, *row.quantize, "-o", output]
        if row.trained:
            return [*command, "--task", baseline.task, "--data", self.data, "--seed", seed]
        sentences = self.build / f"calibration.{baseline.task}.txt"
        write_calibration(baseline.task, self.data, self.plan.calibration_sentences, sentences)
        return [*command, "--calibrate", sentences]

    def _eval(self, intbert: Intbert, model: Path, task: str) -> Run:
        limit = () if self.plan.limit is None else ("--limit", self.plan.limit)
        return intbert("eval", model, "--task", task, "--data", self.data, *limit)


def source_folder(source: str) -> Path:
    """The checkpoint that ``source`` names."""
    from intbert.quantization import demo_model_folder

    return demo_model_folder() if source == "minilm" else Path(source)


def _step(output: Path, intbert: Intbert, *arguments: object) -> list[Run]:
    """Runs the command unless a run that was killed has made ``output`` already; outputs appear whole."""
    return [] if output.exists() else [intbert(*arguments)]


def _score(run: Run) -> dict[str, Any]:
    return {key: run.document[key] for key in ("task", "metric", "value", "n")}


def _record(runs: list[Run]) -> dict[str, Any]:
    return {"commands": [{"command": run.command, "seconds": round(run.seconds, 1)} for run in runs]}


def _fits(cell: Cell | None, definition: dict[str, Any]) -> bool:
    return cell is not None and cell.get("digest") == _digest(definition)


def _machine() -> str:
    """Training ends with other bits on another CPU; the bytes of the artifact that it ends with are the same."""
    return f"{cpu_model()} ({' '.join(cpu_features())})"


def _digest(definition: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]
