"""Models of few bits, made from 8-bit ones: what a quantizer would write, without its care for accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from intbert.compiler.model import Quantization, QuantizedModel, WeightTensor
from intbert.compiler.packing import Packing


def is_linear(name: str) -> bool:
    """Whether the tensor ``name`` is a linear's weight."""
    return name.endswith(".weight") and not name.startswith("embeddings.")


def repacked(weight: WeightTensor, packing: Packing) -> WeightTensor:
    """``weight`` rounded to the levels of ``packing``; with a scale per row, if it had one."""
    real = weight.values.astype(np.float64) * (weight.scale[:, None] if weight.scale.ndim else weight.scale)
    magnitude = np.abs(real).max(axis=1) if weight.scale.ndim else np.abs(real).max()
    step = np.maximum(magnitude, 1e-6) / packing.limit * (0.6 if packing.bits == 1 else 1)
    codes = real / (step[:, None] if weight.scale.ndim else step)
    levels = 2 * np.floor(codes / 2) + 1 if packing.mid_rise else np.rint(codes)
    return WeightTensor(np.clip(levels, -packing.limit, packing.limit).astype(np.int8), np.asarray(step), packing)


def with_weights(model: QuantizedModel, packings: Mapping[str, Packing]) -> QuantizedModel:
    """``model`` with the weights named in ``packings`` rounded; biases keep their meaning."""
    weights = dict(model.weights)
    for name, packing in packings.items():
        weights[name] = repacked(model.weight(name), packing)
        bias = name.removesuffix("weight") + "bias"
        if is_linear(name):
            ratio = model.weight(name).scale / weights[name].scale
            weights[bias] = WeightTensor(
                np.rint(model.weight(bias).values * ratio).astype(np.int32), model.weight(bias).scale / ratio
            )
    return replace(model, weights=weights)


def with_linears(model: QuantizedModel, packing: Packing) -> QuantizedModel:
    """Every linear's weight in ``packing``."""
    return with_weights(model, {name: packing for name in model.weights if is_linear(name)})


def with_row_scales(model: QuantizedModel, name: str, packing: Packing) -> QuantizedModel:
    """The table ``name`` in ``packing``, every row with a scale of its own."""
    table = model.weight(name)
    spread = WeightTensor(table.values, np.broadcast_to(table.scale, (len(table.values),)))
    return replace(model, weights={**model.weights, name: repacked(spread, packing)})


def with_activations(model: QuantizedModel, changes: Mapping[str, tuple[int, int, bool]]) -> QuantizedModel:
    """The activations whose names end in a key of ``changes``: (bits, zero point, narrow range), the same real reach.

    A zero point other than 0 leaves the scale as if the range were symmetric: the far end is clamped.
    """
    activations = dict(model.activations)
    for name, old in model.activations.items():
        for ending, (bits, zero_point, narrow_range) in changes.items():
            if name.endswith(ending):
                limit = 2 ** (bits - 1) - 1
                activations[name] = Quantization(old.scale * old.limit / limit, bits, zero_point, narrow_range)
    changed = replace(model, activations=activations)
    return replace(changed, weights={**model.weights, **_biases(model, changed)})


def _biases(old: QuantizedModel, new: QuantizedModel) -> dict[str, WeightTensor]:
    """The biases at the changed scales of the linears' inputs."""
    biases = {}
    for name, weight in old.weights.items():
        if is_linear(name):
            bias, source = name.removesuffix("weight") + "bias", input_of(name.removesuffix(".weight"), old)
            ratio = old.activation(source).scale / new.activation(source).scale
            values = np.rint(old.weight(bias).values * ratio).astype(np.int32)
            biases[bias] = WeightTensor(values, weight.scale * new.activation(source).scale)
    return biases


def input_of(linear: str, model: QuantizedModel) -> str:
    """The activation that ``linear`` reads."""
    layer, _, part = linear.rpartition(".")
    last = f"layers.{model.architecture.layers - 1}.output_hidden"
    if layer == "head":
        classifier = "head.pooler_output" if "head.pooler.weight" in model.weights else last
        return {"pooler": last, "transform": last, "classifier": classifier, "decoder": "head.transform_hidden"}[part]
    number = int(layer.removeprefix("layers."))
    before = f"layers.{number - 1}.output_hidden" if number else "embeddings.output"
    sources = {
        "attention_output": f"{layer}.context",
        "intermediate": f"{layer}.attention_hidden",
        "output": f"{layer}.activation_output",
    }
    return sources.get(part, before)


def with_split(model: QuantizedModel, linear: str, channels: list[int]) -> QuantizedModel:
    """The input ``channels`` of ``linear`` split: their columns halved, the other halves as further columns."""
    name = f"{linear}.weight"
    weight = model.weight(name)
    values = weight.values.astype(np.int64)
    halves = values[:, channels]
    values = np.concatenate([values, halves], axis=1).astype(np.int8)
    split = WeightTensor(np.array(channels, np.int32), np.asarray(1.0))
    return replace(
        model,
        weights={
            **model.weights,
            name: WeightTensor(values, weight.scale, weight.packing),
            f"{linear}.split": split,
        },
    )
