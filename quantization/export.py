"""The exporter: a float model, the scales of its activations and a weight quantizer -> an integer-only model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compiler.model import Activation, Quantization, QuantizedModel, WeightTensor
from . import integers, structure
from .float_model import FloatModel
from .scheme import Granularity, Scheme
from .weights import MinMaxWeights, WeightQuantizer, quantize_linear

HEADROOM = 1.25
"""The 15-bit ranges are this times the largest magnitude seen: unseen sentences reach a little further, and a
third of a bit is cheap there, while an outlier of the residual stream that is cut off is not."""

NORM_BITS = 16
"""Bits of the layer normalizations' gamma and beta."""

LEAST_GELU = -0.17
"""GELU's minimum is -0.16997."""


def export(
    model: FloatModel,
    scheme: Scheme,
    activations: Mapping[str, Quantization],
    quantizer: WeightQuantizer | None = None,
    table_quantizer: WeightQuantizer | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> QuantizedModel:
    """The integers of ``model`` with the bits of ``scheme``; raises QuantizedModelError (a bias that does not fit).

    ``quantizer`` chooses scales and integers of the encoder's linears, ``table_quantizer`` those of the word
    embeddings; without one, the largest magnitude gets the largest integer. Heads, position and token type
    embeddings are always quantized so. gamma and beta are int16, biases int32 with scale input scale * weight scale.
    """
    weights = {
        **_tables(model, scheme, table_quantizer or MinMaxWeights()),
        **_norms(model),
        **_linears(model, scheme, activations, quantizer or MinMaxWeights()),
    }
    return QuantizedModel(
        architecture=model.architecture,
        scheme=scheme.name,
        weights=weights,
        activations=dict(activations),
        provenance={
            "source": model.name,
            "norm_epsilon": model.norm_epsilon,
            "notes": list(model.notes),
            **(provenance or {}),
        },
        tokenizer=model.tokenizer,
    )


def activations_from_ranges(model: FloatModel, scheme: Scheme, ranges: Mapping[str, float]) -> dict[str, Quantization]:
    """The quantization of every activation whose magnitudes reach up to ``ranges``.

    What follows a GELU or a ReLU is one-sided; where it has fewer than 8 bits, a zero point spends none of them on
    the values that cannot occur.
    """
    architecture = model.architecture
    found = {}
    for name, wide in structure.wide_activations(architecture).items():
        bits = scheme.bits_of_activation(architecture, name)
        if wide:
            found[name] = integers.activation(ranges[name] * HEADROOM, bits)
        elif bits < 8 and name.endswith(".activation_output"):
            lowest = LEAST_GELU if architecture.activation is Activation.GELU else 0.0
            found[name] = integers.one_sided_activation(ranges[name], lowest, bits)
        else:
            found[name] = integers.activation(ranges[name], bits)
    return found


def _tables(model: FloatModel, scheme: Scheme, word_quantizer: WeightQuantizer) -> dict[str, WeightTensor]:
    tables = {}
    for name in structure.embeddings(model.architecture):
        bits = scheme.bits_of_weight(name)
        quantizer = word_quantizer if name == "embeddings.word" else MinMaxWeights()
        granularity = Granularity.TENSOR if bits == 8 else Granularity.ROW
        values = model.weights[f"{name}.weight"]
        scale = integers.without_zeros(quantizer.scale(name, values, bits, granularity))
        tables[f"{name}.weight"] = WeightTensor(
            quantizer.integers(name, values, scale, bits), scale, quantizer.packing(name, bits)
        )
    return tables


def _norms(model: FloatModel) -> dict[str, WeightTensor]:
    return {
        name: integers.per_tensor(model.weights[name], NORM_BITS)
        for norm in structure.norms(model.architecture)
        for name in (f"{norm}.gamma", f"{norm}.beta")
    }


def _linears(
    model: FloatModel, scheme: Scheme, activations: Mapping[str, Quantization], quantizer: WeightQuantizer
) -> dict[str, WeightTensor]:
    tensors: dict[str, WeightTensor] = {}
    for linear in structure.linears(model.architecture):
        in_head = linear.name.startswith("head.")
        tensors |= quantize_linear(
            MinMaxWeights() if in_head else quantizer,
            linear.name,
            model.weights[f"{linear.name}.weight"],
            model.weights[f"{linear.name}.bias"],
            activations[linear.input].scale,
            scheme.bits_of_weight(linear.name),
            _granularity(scheme, linear, in_head),
        )
    return tensors


def _granularity(scheme: Scheme, linear: structure.Linear, in_head: bool) -> Granularity:
    if in_head:
        return Granularity.ROW if linear.per_row else Granularity.TENSOR
    return scheme.weight_granularity
