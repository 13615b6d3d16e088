"""mkqbert: which layers are int4, what that saves, and that the integers compute what training saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.model import Architecture
from intbert.errors import SchemeError
from intbert.quantization.methods import get_method
from intbert.quantization.mkqbert import MkqbertOptions, parse_layers, sensitivities, with_int4_layers
from intbert.quantization.size import bits_reduction
from intbert.quantization.training.learned import LearnedQuantization
from intbert.quantization.training.learned_activations import least_squares
from intbert.quantization.training.mkq_scale import least_squares_scale

from .test_size import BERT_BASE, MINILM, exported
from .training.tiny_task import (
    assert_agreement,
    batch_of,
    customized,
    export_untrained,
    integer_logits,
    quantized,
    tensors,
    tiny_task,
)

SCHEME = get_method("mkqbert").scheme


@pytest.mark.parametrize("layers", [(0,), (1,), (0, 1)], ids=["first", "last", "all"])
def test_the_integers_compute_what_training_saw(tmp_path: Path, layers: tuple[int, ...]) -> None:
    model, _ = tiny_task(tmp_path)
    scheme = with_int4_layers(SCHEME, model.architecture, layers)
    quantization = LearnedQuantization(model.architecture, scheme, least_squares_scale, least_squares)
    student, integer = export_untrained(model, scheme, quantization)
    assert_agreement(student, integer, decibels=12)
    for layer in range(2):
        bits = 4 if layer in layers else 8
        source = "embeddings.output" if layer == 0 else "layers.0.output_hidden"
        for activation in (source, *(f"layers.{layer}.{n}" for n in ("context", "attention_hidden"))):
            assert integer.activation(activation).bits == bits
        inner = integer.activation(f"layers.{layer}.activation_output")
        assert (inner.bits, inner.zero_point < 0) == (bits, bits == 4)
        packing = integer.weight(f"layers.{layer}.output.weight").packing
        assert (None if packing is None else packing.bits) == (4 if bits == 4 else None)
        for name in ("query", "key", "value"):
            assert integer.activation(f"layers.{layer}.{name}").bits == 8
    words = integer.weight("embeddings.word.weight").packing
    assert words is not None
    assert words.bits == 4


def test_trains_from_the_registry_with_the_least_sensitive_layer(tmp_path: Path) -> None:
    model, training = tiny_task(tmp_path)
    integer = quantized(model, training, "mkqbert", int4_layers="1", limit=32)
    assert np.isfinite(integer_logits(integer, batch_of(integer))).all()
    sensitivity = integer.provenance["sensitivity"]
    assert integer.provenance["int4_layers"] == [int(min(sensitivity, key=sensitivity.__getitem__))]


def test_a_layer_whose_output_is_not_read_is_the_least_sensitive(tmp_path: Path) -> None:
    model, _ = tiny_task(tmp_path)
    for name in ("attention_output", "output"):
        for part in ("weight", "bias"):
            model.weights[f"layers.1.{name}.{part}"][:] = 0
    found = sensitivities(model, SCHEME, [tensors(batch_of(model))])
    assert found[1] < found[0]


@pytest.mark.parametrize("sizes", [MINILM, BERT_BASE], ids=["minilm", "bert-base"])
def test_half_of_the_layers_are_enough_for_5_3(sizes: Architecture) -> None:
    chosen = parse_layers(MkqbertOptions().int4_layers, sizes.layers)
    assert chosen == sizes.layers // 2
    reduction = bits_reduction(sizes, exported(sizes, with_int4_layers(SCHEME, sizes, range(sizes.layers // 2))))
    assert 5.3 <= reduction < 8


@pytest.mark.parametrize(
    ("text", "expected"), [("all", 6), ("half", 3), ("2", 2), ("0,4", [0, 4]), ("3,", [3]), ("5, 1,1", [1, 5])]
)
def test_layers(text: str, expected: int | list[int]) -> None:
    assert parse_layers(text, 6) == expected


@pytest.mark.parametrize("text", ["", "none", "0", "7", "0,6", "-1,2", "1.5", ","])
def test_layers_that_are_none(text: str) -> None:
    with pytest.raises(SchemeError, match=r"int4_layers is '.*'; give all, half, a number from 1 to 6"):
        parse_layers(text, 6)


@pytest.mark.parametrize(("kind", "bits"), [("weight", 8), ("activation", 8), ("embedding", 2)])
def test_bits_that_are_not_supported(kind: str, bits: int) -> None:
    with pytest.raises(SchemeError, match=f"mkqbert supports .* {kind} bits, not {bits}"):
        customized(get_method("mkqbert"), **{f"{kind}_bits": bits})
