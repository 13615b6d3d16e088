"""This project's models and artifacts at any precision, made through its Python API and cached."""

from collections.abc import Sequence
from pathlib import Path

from intbert.compiler.deploy import deploy
from intbert.compiler.model import QuantizedModel
from intbert.compiler.model_files import load, save
from intbert.targets.target import Target

from .cache import cached_folder, digest
from .models import BenchmarkModel
from .precisions import Precision, quantized
from .repository import SENTENCES
from .workspace import QUANTIZERS, Workspace, checkpoint_key, compiled_key, sources


def _quantized_folder(workspace: Workspace, model: BenchmarkModel, precision: Precision) -> Path:
    checkpoint = workspace.checkpoint(model)
    key = digest([*sources(*QUANTIZERS), SENTENCES], checkpoint_key(checkpoint), precision.name)
    return cached_folder(
        workspace.cache, f"{model.name}-{precision.name}", key,
        lambda folder: save(quantized(checkpoint, precision), folder),
    )  # fmt: skip


def quantized_model(workspace: Workspace, model: BenchmarkModel, precision: Precision) -> QuantizedModel:
    """The model at this precision, from the cache or made now."""
    return load(_quantized_folder(workspace, model, precision))


def compiled_artifact(
    workspace: Workspace, model: BenchmarkModel, precision: Precision, lengths: Sequence[int], target: Target
) -> Path:
    """The model at this precision, compiled for ``target``."""
    source = _quantized_folder(workspace, model, precision)
    words = ",".join([*map(str, lengths), target.cpu, *sorted(target.features), *target.attributes])

    def make(folder: Path) -> None:
        deploy(load(source), target, output=folder / "model", lengths=lengths)

    name = f"{model.name}-{precision.name}-{target.name}"
    return cached_folder(workspace.cache, name, compiled_key(source.name, words), make) / "model"
