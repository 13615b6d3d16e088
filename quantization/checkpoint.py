"""The importer: a folder of Hugging Face or of sentence-transformers, or a model in memory -> FloatModel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.model import TOKENIZER_FILE, Head, HeadKind
from ..errors import CheckpointError
from .configuration import Configuration, read_configuration
from .families import FAMILIES, bare_tensor, candidates
from .float_model import FloatModel
from .pooling import read_json, read_modules
from .structure import tensor_shapes
from .tensors import MemoryTensors, TensorSource, float_array, open_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_float_model(source: Path | str | PreTrainedModel) -> FloatModel:
    """The float model in the folder ``source``, or in memory.

    Supported are BERT, RoBERTa and DistilBERT without a head, with mean pooling (a sentence-transformers
    folder), or for sequence classification, token classification, question answering or masked LM. Only
    safetensors are read. Raises CheckpointError, one line that says which file or tensor is at fault.
    """
    if isinstance(source, (str, Path)):
        return _from_folder(Path(source))
    return _from_model(source)


def _from_folder(folder: Path) -> FloatModel:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; give the folder of a Hugging Face checkpoint")
    modules = read_modules(folder)
    pooling = None if modules is None else Head(HeadKind.MEAN_POOLING, normalize=modules.normalize)
    inner = folder if modules is None else modules.transformer
    config = read_json(inner / "config.json")
    if not isinstance(config, dict):
        raise CheckpointError(f"{inner / 'config.json'}: not a JSON object; copy it again")
    configuration = read_configuration(config, str(inner / "config.json"), pooling)
    tokenizer = next((place for place in (inner, folder) if (place / TOKENIZER_FILE).is_file()), None)
    return assemble(configuration, open_folder(inner), str(inner), folder.resolve().name, tokenizer)


def _from_model(model: PreTrainedModel) -> FloatModel:
    name = type(model).__name__
    config: dict[str, Any] = {**model.config.to_dict(), "architectures": [name]}
    configuration = read_configuration(config, name)
    return assemble(configuration, MemoryTensors(model.state_dict()), name, name, None)


def assemble(
    configuration: Configuration, source: TensorSource, where: str, name: str, tokenizer: Path | None
) -> FloatModel:
    """The float model whose tensors ``source`` holds; CheckpointError, starting with ``where``, if one is amiss."""
    architecture = configuration.architecture
    base = f"{FAMILIES[architecture.family].base}."
    if bare_tensor("embeddings.word", base) not in source:
        base = ""
    weights = {}
    for canonical, shape in tensor_shapes(architecture).items():
        names = candidates(architecture, canonical, base, configuration.tied)
        found = next((candidate for candidate in names if candidate in source), names[0])
        weights[canonical] = float_array(source, found, shape, where)
    return FloatModel(architecture, weights, configuration.norm_epsilon, name, tokenizer, configuration.notes)
