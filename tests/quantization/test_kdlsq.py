"""kdlsq: what training saw is what the integers compute, and how small its models are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from intbert.compiler.model import HeadKind
from intbert.compiler.packing import Packing
from intbert.errors import SchemeError
from intbert.quantization.methods import get_method
from intbert.quantization.training.learned import LearnedQuantization
from intbert.quantization.training.learned_activations import least_squares
from intbert.quantization.training.lsq import learned_step

from ..models import Size, tiny_float_model
from .training.tiny_task import (
    assert_agreement,
    batch_of,
    export_untrained,
    integer_logits,
    quantized,
    signal_to_noise,
    tensors,
    tiny_task,
)

BITS = [(2, 8, 2), (3, 8, 5), (4, 8, 4), (8, 8, 8), (4, 4, 4)]


@pytest.mark.parametrize(("weights", "activations", "embeddings"), BITS, ids=lambda bits: str(bits))
def test_the_integers_compute_what_training_saw(
    tmp_path: Path, weights: int, activations: int, embeddings: int
) -> None:
    model, _ = tiny_task(tmp_path)
    scheme = get_method("kdlsq").customized(weight_bits=weights, activation_bits=activations, embedding_bits=embeddings)
    quantization = LearnedQuantization(model.architecture, scheme, learned_step, least_squares)
    student, integer = export_untrained(model, scheme, quantization)
    # With 4-bit activations, an error of the operators that crosses a threshold is a whole step.
    assert_agreement(student, integer, decibels=20 if activations == 8 else 12)
    packing = Packing(weights, mid_rise=weights == 2) if weights < 8 else None
    assert integer.weight("layers.0.query.weight").packing == packing
    assert integer.activation("layers.1.context").bits == activations


def test_sentence_embeddings_are_what_training_saw() -> None:
    model = tiny_float_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=24, layers=2, heads=4, intermediate=40))
    scheme = get_method("kdlsq").scheme
    quantization = LearnedQuantization(model.architecture, scheme, learned_step, least_squares)
    student, integer = export_untrained(model, scheme, quantization)
    batch = batch_of(integer, seed=1)
    inputs = tensors(batch)
    with torch.no_grad():
        expected = student.encode(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"]).numpy()
    found = integer_logits(integer, batch)
    assert signal_to_noise(expected, found / np.linalg.norm(found, axis=1, keepdims=True)) > 20


def test_trains_from_the_registry(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    integer = quantized(model, training, "kdlsq", {"weight_bits": 2}, initial_steps="lsq", epochs=2)
    assert np.isfinite(integer_logits(integer, batch_of(integer))).all()
    assert integer.provenance["method"] == "kdlsq, quantization-aware training"
    assert integer.provenance["training"]["steps"] == 6
    assert integer.provenance["options"]["initial_steps"] == "lsq"


@pytest.mark.parametrize("bits", [1, 9])
def test_bits_that_are_not_supported(bits: int) -> None:
    with pytest.raises(SchemeError, match=f"kdlsq supports 2 to 8 weight bits, not {bits}"):
        get_method("kdlsq").customized(weight_bits=bits)


def test_unknown_initial_steps() -> None:
    with pytest.raises(SchemeError, match="initial_steps is 'mean'; kdlsq knows least-squares and lsq"):
        get_method("kdlsq").parse_options({"initial_steps": "mean"})
