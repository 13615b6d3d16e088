"""A narrower student: a part of every layer's attention heads and neurons, the most important ones.

Hou et al., "DynaBERT: Dynamic BERT with Adaptive Width and Depth", NeurIPS 2020, section 2.1, rank heads and neurons
by the first-order change of the loss when they are left out (Michel et al., "Are Sixteen Heads Really Better than
One?", NeurIPS 2019; Molchanov et al., 2017).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..float_model import FloatModel
from .student import Student


@dataclass(frozen=True)
class Kept:
    """By layer, the attention heads and the neurons of the feed-forward block that stay, in ascending order."""

    heads: tuple[tuple[int, ...], ...]
    neurons: tuple[tuple[int, ...], ...]


def most_important(model: FloatModel, batches: Iterable[Mapping[str, Tensor]], width: float) -> Kept:
    """The part ``width`` of every layer's heads and neurons that matters most to the loss on ``batches``."""
    architecture = model.architecture
    layers = range(architecture.layers)
    heads = np.zeros((architecture.layers, architecture.heads))
    neurons = np.zeros((architecture.layers, architecture.intermediate))
    student = Student(model)
    for batch in batches:
        student.zero_grad()
        student(**batch)["loss"].backward()
        for layer in layers:
            change = _change(student.parameter(f"layers.{layer}.attention_output.weight"))
            heads[layer] += np.abs(change.reshape(architecture.heads, -1).sum(1))
            neurons[layer] += np.abs(_change(student.parameter(f"layers.{layer}.output.weight")))
    return Kept(
        tuple(_largest(heads[layer], width) for layer in layers),
        tuple(_largest(neurons[layer], width) for layer in layers),
    )


def _change(weight: Tensor) -> NDArray[np.float64]:
    """The first-order change of the loss when an input channel of ``weight`` [N, K] becomes 0: [K]."""
    assert weight.grad is not None, "the weight took part in the loss"
    return (weight.detach() * weight.grad).sum(0).double().numpy()


def _largest(importance: NDArray[np.float64], width: float) -> tuple[int, ...]:
    count = max(1, round(width * len(importance)))
    return tuple(sorted(np.argsort(-importance, kind="stable")[:count].tolist()))


def narrowed(model: FloatModel, kept: Kept) -> FloatModel:
    """``model`` with the ``kept`` heads and neurons only; every layer must keep equally many."""
    architecture = model.architecture
    size = architecture.head_dim
    weights = dict(model.weights)
    for layer in range(architecture.layers):
        prefix = f"layers.{layer}"
        channels = np.concatenate([np.arange(head * size, (head + 1) * size) for head in kept.heads[layer]])
        neurons = np.array(kept.neurons[layer])
        for name, rows in (("query", channels), ("key", channels), ("value", channels), ("intermediate", neurons)):
            for kind in ("weight", "bias"):
                weights[f"{prefix}.{name}.{kind}"] = model.weights[f"{prefix}.{name}.{kind}"][rows]
        for name, columns in (("attention_output", channels), ("output", neurons)):
            weights[f"{prefix}.{name}.weight"] = np.ascontiguousarray(
                model.weights[f"{prefix}.{name}.weight"][:, columns]
            )
    narrow = replace(
        architecture,
        heads=len(kept.heads[0]),
        attention_width=len(kept.heads[0]) * size,
        intermediate=len(kept.neurons[0]),
    )
    return replace(model, architecture=narrow, weights=weights)


def centered(model: FloatModel) -> FloatModel:
    """The same function, with word embeddings whose mean is 0: the mean becomes a part of every position.

    What signs are to stand for lies on both sides of 0 then.
    """
    words, positions = model.weights["embeddings.word.weight"], model.weights["embeddings.position.weight"]
    mean = words.mean(axis=0, dtype=np.float64).astype(np.float32)
    return replace(
        model,
        weights={
            **model.weights,
            "embeddings.word.weight": words - mean,
            "embeddings.position.weight": positions + mean,
        },
    )
