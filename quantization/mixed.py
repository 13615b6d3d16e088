"""The exporter of mixed int8/float models: 8-bit linears and embedding tables, everything else float32.

After Zafrir et al., "Q8BERT: Quantized 8Bit BERT", 2019: symmetric weights, one scale a tensor from the largest
magnitude; biases int32 with scale input scale * weight scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.model import FloatOperators, Quantization, QuantizedModel, WeightTensor
from . import integers, structure
from .float_model import FloatModel

BITS = 8


def quantize_mixed(
    model: FloatModel,
    weights: Mapping[str, WeightTensor],
    activations: Mapping[str, Quantization],
    *,
    scheme: str = "q8bert",
    dynamic: frozenset[str] = frozenset(),
    provenance: Mapping[str, Any] | None = None,
) -> QuantizedModel:
    """``model`` with 8-bit linears and tables, and float operators between them.

    ``weights`` are those that are quantized already, under their names in QuantizedModel (with or without
    ``.weight``, ``.bias``); the others are quantized here, per tensor with the largest magnitude as threshold. A bias
    is int32 with scale input scale * weight scale, float32 where its input is in ``dynamic``. ``activations`` has the
    quantization of what the linears read (:func:`linear_inputs`). Raises QuantizedModelError for a bias that does not
    fit or an activation without a scale.
    """
    given = {_tensor_name(name): weight for name, weight in weights.items()}
    tensors: dict[str, WeightTensor] = {}
    for table in structure.embeddings(model.architecture):
        name = f"{table}.weight"
        tensors[name] = given.get(name) or integers.per_tensor(model.weights[name], BITS)
    for norm in structure.norms(model.architecture):
        for name in (f"{norm}.gamma", f"{norm}.beta"):
            tensors[name] = given.get(name) or _floats(model.weights[name])
    quantized = QuantizedModel(
        architecture=model.architecture,
        scheme=scheme,
        weights=tensors,
        activations={name: value for name, value in activations.items() if name not in dynamic},
        provenance={"source": model.name, "notes": list(model.notes), **(provenance or {})},
        float_operators=FloatOperators(model.norm_epsilon, dynamic),
        tokenizer=model.tokenizer,
    )
    for linear in structure.linears(model.architecture):
        weight = given.get(f"{linear.name}.weight") or integers.per_tensor(model.weights[f"{linear.name}.weight"], BITS)
        tensors[f"{linear.name}.weight"] = weight
        bias = model.weights[f"{linear.name}.bias"]
        if f"{linear.name}.bias" in given:
            tensors[f"{linear.name}.bias"] = given[f"{linear.name}.bias"]
        elif linear.input in dynamic:
            tensors[f"{linear.name}.bias"] = _floats(bias)
        else:
            scale = quantized.activation(linear.input).scale * weight.scale
            tensors[f"{linear.name}.bias"] = integers.bias(bias, scale)
    return quantized


def linear_inputs(model: FloatModel) -> list[str]:
    """The activations that the linears read, each once, in the order in which they are computed."""
    return list(dict.fromkeys(linear.input for linear in structure.linears(model.architecture)))


def _tensor_name(name: str) -> str:
    known = (".weight", ".bias", ".gamma", ".beta")
    return name if name.endswith(known) else f"{name}.weight"


def _floats(values: NDArray[np.float32]) -> WeightTensor:
    return WeightTensor(np.ascontiguousarray(values, np.float32), np.array(1.0))
