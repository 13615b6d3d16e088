"""A Hugging Face checkpoint of model_type ``ibert`` -> an integer-only model with the ranges that it learned.

I-BERT (Kim et al. 2021) as transformers implements it keeps float weights, and beside every activation that it
quantizes the moving averages of its least and largest value. These become the ranges of the activations here; weights
get the scales that I-BERT gives them, the largest magnitude of a channel (of a table). The linears of its heads are
float in transformers: here they are 8-bit, and what they read has the range of the function before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import TOKENIZER_FILE, Architecture, Family, Head, HeadKind, QuantizedModel, WeightTensor
from ...errors import CheckpointError, QuantizedModelError
from .. import integers, structure
from ..checkpoint import assemble
from ..configuration import Configuration, read_configuration
from ..export import export
from ..methods import get_method
from ..pooling import read_json, read_modules
from ..scheme import Granularity
from ..tensors import TensorSource, open_folder
from ..weights import MinMaxWeights
from .folder import CONFIG_FILE

if TYPE_CHECKING:
    import torch

WIDE_BITS, NARROW_BITS = 15, 8
UNTRAINED = 1.1e-5
"""The ranges start at 1e-5: what is not larger was never seen."""
LEAST_RANGE = np.float32(1e-8)
"""That of weights which are all zero."""
GELU_REACH = 0.17
"""How far GELU's input may lie above its output."""
GELU_BEND = 3.0
"""Beyond it GELU is its input, or 0, to the precision of its 8-bit output."""
TANH_REACH = 8.0
"""Beyond it tanh is 1 to six digits."""

_EMBEDDINGS = {
    "embeddings.sum": "embeddings.embeddings_act1",
    "embeddings.stream": "embeddings.output_activation",
    "embeddings.output": "embeddings.output_activation",
}
_LAYER = {
    "query": "attention.self.query_activation",
    "key": "attention.self.key_activation",
    "value": "attention.self.value_activation",
    "context": "attention.self.output_activation",
    "attention_sum": "attention.output.ln_input_act",
    # The residual reads what the next linear reads, in 8 bits there, in 15 here.
    "attention_stream": "pre_intermediate_act",
    "attention_hidden": "pre_intermediate_act",
    "activation_output": "pre_output_act",
    "output_sum": "output.ln_input_act",
    "output_stream": "output.output_activation",
    "output_hidden": "output.output_activation",
}


class _Weights(MinMaxWeights):
    """The integers that transformers computes: in float32, and from -127 to 126."""

    def scale(self, name: str, weight: NDArray[np.float32], bits: int, granularity: Granularity) -> NDArray[np.float64]:
        magnitude = np.maximum(np.abs(weight).max(axis=1 if granularity is Granularity.ROW else None), LEAST_RANGE)
        return np.asarray(magnitude.astype(np.float32) / np.float32(127), np.float64)

    def integers(
        self, name: str, weight: NDArray[np.float32], scale: NDArray[np.float64], bits: int
    ) -> NDArray[np.int8]:
        inverse = np.float32(1) / scale.astype(np.float32)
        return np.clip(np.rint(weight * (inverse[:, None] if scale.ndim else inverse)), -127, 126).astype(np.int8)

    def table(self, name: str, values: NDArray[np.float32]) -> WeightTensor:
        """An embedding table with one scale."""
        scale = self.scale(name, values, NARROW_BITS, Granularity.TENSOR)
        return WeightTensor(self.integers(name, values, scale, NARROW_BITS), scale)


class _RobertaNames:
    """The tensors under the names that RoBERTa has for them."""

    def __init__(self, source: TensorSource) -> None:
        self._source = source

    def __contains__(self, name: str) -> bool:
        return _name(name) in self._source

    def get(self, name: str) -> torch.Tensor:
        return self._source.get(_name(name))


def _name(roberta: str) -> str:
    return f"ibert.{roberta.removeprefix('roberta.')}" if roberta.startswith("roberta.") else roberta


def import_ibert(folder: Path) -> QuantizedModel:
    """The integer-only model in ``folder``; CheckpointError that names the file or tensor at fault."""
    modules = read_modules(folder)
    pooling = None if modules is None else Head(HeadKind.MEAN_POOLING, normalize=modules.normalize)
    where = str(folder / CONFIG_FILE)
    configuration = _configuration(read_json(folder / CONFIG_FILE), where, pooling)
    source = open_folder(folder)
    tokenizer = folder if (folder / TOKENIZER_FILE).is_file() else None
    model = assemble(configuration, _RobertaNames(source), str(folder), folder.resolve().name, tokenizer)
    ranges = dict(_ranges(model.architecture, source, str(folder)))
    wide = structure.wide_activations(model.architecture)
    activations = {
        name: integers.activation(ranges[name], WIDE_BITS if is_wide else NARROW_BITS) for name, is_wide in wide.items()
    }
    weights, provenance = _Weights(), {"imported": "ibert", "calibration": "learned"}
    try:
        quantized = export(model, get_method("ibert").scheme, activations, weights, provenance=provenance)
    except QuantizedModelError as error:
        raise CheckpointError(f"{folder}: {error}") from None
    names = [f"{name}.weight" for name in structure.embeddings(model.architecture)]
    tables = {name: weights.table(name, model.weights[name]) for name in names}
    return replace(quantized, weights={**quantized.weights, **tables})


def _configuration(document: Mapping[str, Any], where: str, pooling: Head | None) -> Configuration:
    if not document.get("quant_mode"):
        raise CheckpointError(
            f"{where}: quant_mode is off, so no range was trained for integers; fine-tune it with quant_mode=True"
        )
    names = document.get("architectures")
    if isinstance(names, list):
        names = [str(name).replace("IBert", "Roberta", 1) for name in names]
    configuration = read_configuration({**document, "model_type": "roberta", "architectures": names}, where, pooling)
    assert configuration.architecture.family is Family.ROBERTA
    if configuration.architecture.head.kind is HeadKind.MASKED_LM:
        raise CheckpointError(f"{where}: the masked LM head of I-BERT is float and has no ranges; import another head")
    return configuration


def _ranges(architecture: Architecture, source: TensorSource, where: str) -> Iterator[tuple[str, float]]:
    base = "ibert." if "ibert.embeddings.word_embeddings.weight" in source else ""
    for name, module in _EMBEDDINGS.items():
        yield name, _learned(source, f"{base}{module}", where)
    for index in range(architecture.layers):
        for name, module in _LAYER.items():
            yield f"layers.{index}.{name}", _learned(source, f"{base}encoder.layer.{index}.{module}", where)
        # What lies above the output's range is cut off there anyway.
        output = _learned(source, f"{base}encoder.layer.{index}.pre_output_act", where)
        yield f"layers.{index}.activation_input", max(output + GELU_REACH, GELU_BEND)
    yield "head.pooler_input", TANH_REACH
    yield "head.pooler_output", 1.0


def _learned(source: TensorSource, module: str, where: str) -> float:
    """The largest magnitude of the range that ``module`` learned."""
    values = []
    for bound in ("x_min", "x_max"):
        name = f"{module}.{bound}"
        if name not in source:
            raise CheckpointError(f"{where}: tensor '{name}' is missing; save the model with quant_mode=True")
        values.append(abs(float(source.get(name).reshape(-1)[0])))
    largest = max(values)
    if not (math.isfinite(largest) and largest > UNTRAINED):
        raise CheckpointError(
            f"{where}: the range of '{module}' is {largest:.3g}, it was never trained; fine-tune with quant_mode=True"
        )
    return largest
