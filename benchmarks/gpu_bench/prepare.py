"""The files that the workers load, each made once."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from intbert.compiler.deploy import deploy
from intbert.targets.target import Target
from peer_bench.artifacts import quantized_model
from peer_bench.cache import cached_folder
from peer_bench.contenders import Contender
from peer_bench.measure import Entry, Plan
from peer_bench.models import BenchmarkModel
from peer_bench.precisions import PRECISIONS
from peer_bench.workspace import Workspace, compiled_key

from .contenders import TENSORRT, TORCH


def plan_of(
    workspace: Workspace,
    model: BenchmarkModel,
    contenders: Sequence[Contender],
    shape: tuple[int, int],
    target: Target,
    runs: int,
) -> Plan:
    """All contenders with the model, at one (length, batch)."""
    length, batch = shape
    entries = [_entry(workspace, model, contender, shape, target) for contender in contenders]
    inputs = workspace.inputs_made_here(model, length)
    return Plan(model, entries, inputs, [length], threads=1, runs=runs, batch=batch)


def _entry(
    workspace: Workspace, model: BenchmarkModel, contender: Contender, shape: tuple[int, int], target: Target
) -> Entry:
    """It runs in this environment, whose runtimes find the card."""
    python = Path(sys.executable)
    if not contender.is_peer:
        return Entry(contender, python, _artifact(workspace, model, contender.precision, shape, target))
    if contender.runtime == TORCH:
        return Entry(contender, python, workspace.checkpoint(model))
    file = workspace.onnx(model) / contender.model_file
    if contender.runtime == TENSORRT:
        file = _copied(file, workspace.cache / f"{model.name}-tensorrt" / "tensorrt")
    return Entry(contender, python, file)


def _artifact(
    workspace: Workspace, model: BenchmarkModel, precision: str, shape: tuple[int, int], target: Target
) -> Path:
    length, batch = shape
    quantized = quantized_model(workspace, model, PRECISIONS[precision])

    def make(folder: Path) -> None:
        deploy(quantized, target, output=folder / "model", lengths=[length], batches=[batch])

    name = f"{model.name}-{precision}-{target.name}-{batch}x{length}"
    return cached_folder(workspace.cache, name, compiled_key(name), make) / "model"


def _copied(file: Path, folder: Path) -> Path:
    """Its worker tells TensorRT's model from ONNX Runtime's own by the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / file.name
    if not copy.exists():
        shutil.copyfile(file, copy)
    return copy


def at_precisions(contender: Contender, precisions: Sequence[str]) -> list[Contender]:
    """The contender at each of them: they lie in its model alone."""
    return [replace(contender, precision=precision) for precision in precisions]
