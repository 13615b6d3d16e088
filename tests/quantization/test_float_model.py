"""The float forward against transformers' own modules: every family, every head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from intbert.errors import CheckpointError, InputError
from intbert.quantization import FloatModel, load_float_model
from intbert.quantization.structure import wide_activations
from intbert.quantization.tokenization import Batch
from torch import Tensor

from .checkpoints import (
    FAMILIES,
    HEADS,
    SENTENCES,
    make_batch,
    make_model,
    save_model,
    save_sentence_transformer,
)

EVERY_MODEL = pytest.mark.parametrize(
    ("family", "head"), [(family, head) for family in FAMILIES for head in HEADS], ids=lambda value: value
)


def batch_for(model: FloatModel) -> Batch:
    return make_batch(model.architecture.pad_token_id, token_types=model.architecture.token_types)


def reference(model: Any, batch: Batch) -> np.ndarray:
    """What transformers computes for ``batch``, with the two outputs of question answering stacked."""
    arguments = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if model.config.model_type != "distilbert":
        arguments["token_type_ids"] = batch.token_type_ids
    with torch.inference_mode():
        output = model(**{name: torch.from_numpy(value) for name, value in arguments.items()})
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1).numpy()
    return (output.logits if "logits" in output else output.last_hidden_state).numpy()


def tokens_of(output: np.ndarray, batch: Batch) -> np.ndarray:
    """The rows of ``output`` that belong to tokens; padding is undefined."""
    return output[batch.attention_mask == 1] if output.ndim == 3 else output


@EVERY_MODEL
@pytest.mark.parametrize("place", ["folder", "memory"])
def test_equals_transformers(family: str, head: str, place: str, tmp_path: Path) -> None:
    model = make_model(family, head)
    ours = load_float_model(save_model(model, tmp_path) if place == "folder" else model)
    batch = batch_for(ours)
    expected = tokens_of(reference(model, batch), batch)
    np.testing.assert_allclose(tokens_of(ours.forward(batch), batch), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("Bert", {"hidden_act": "relu"}),
        ("DistilBert", {"activation": "relu"}),
        ("Bert", {"layer_norm_eps": 0.1}),
        ("Roberta", {"layer_norm_eps": 0.1, "pad_token_id": 3}),
        ("DistilBert", {"sinusoidal_pos_embds": True}),
    ],
    ids=["bert-relu", "distilbert-relu", "epsilon", "roberta-padding", "sinusoidal"],
)
def test_config_is_obeyed(family: str, changes: dict[str, Any], tmp_path: Path) -> None:
    model = make_model(family, "ForMaskedLM", **changes)
    ours = load_float_model(save_model(model, tmp_path))
    batch = batch_for(ours)
    expected = tokens_of(reference(model, batch), batch)
    np.testing.assert_allclose(tokens_of(ours.forward(batch), batch), expected, rtol=0, atol=1e-5)


def test_untied_decoder_keeps_its_own_weights(tmp_path: Path) -> None:
    model = make_model("Bert", "ForMaskedLM", tie_word_embeddings=False)
    ours = load_float_model(save_model(model, tmp_path))
    word, decoder = ours.weights["embeddings.word.weight"], ours.weights["head.decoder.weight"]
    assert not np.array_equal(word, decoder)
    batch = batch_for(ours)
    np.testing.assert_allclose(
        tokens_of(ours.forward(batch), batch), tokens_of(reference(model, batch), batch), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("normalize", [True, False], ids=["normalized", "plain"])
def test_mean_pooling_leaves_out_the_padding(normalize: bool, tmp_path: Path) -> None:
    ours = load_float_model(save_sentence_transformer(tmp_path, {"pooling_mode": "mean"}, normalize))
    batch = batch_for(ours)
    states = reference(make_model("Bert", "Model"), batch)
    means = [row[mask == 1].mean(axis=0) for row, mask in zip(states, batch.attention_mask, strict=True)]
    expected = np.stack([mean / np.linalg.norm(mean) for mean in means]) if normalize else np.stack(means)
    np.testing.assert_allclose(ours.forward(batch), expected, rtol=0, atol=1e-5)


@EVERY_MODEL
def test_hook_sees_every_activation_once(family: str, head: str) -> None:
    ours = load_float_model(make_model(family, head))
    seen: list[str] = []
    matrices: list[str] = []

    def note(name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        if name.endswith((".scores", ".probabilities")):
            length = batch.attention_mask.shape[1]
            assert values.shape == (3, ours.architecture.heads, length, length)
            matrices.append(name)
            return values
        seen.append(name)
        assert values.shape[:-1] == (mask.shape if mask is not None else (3,))
        return values

    batch = batch_for(ours)
    ours.forward(batch, note)
    logits = ["head.logits"] if ours.architecture.head.labels else []
    assert sorted(seen) == sorted([*wide_activations(ours.architecture), *logits])
    layers = range(ours.architecture.layers)
    assert matrices == [f"layers.{layer}.{name}" for layer in layers for name in ("scores", "probabilities")]


def test_hook_values_are_those_inside_transformers() -> None:
    model: Any = make_model("Bert", "ForSequenceClassification")
    ours = load_float_model(model)
    layer = model.bert.encoder.layer[1]
    modules = {
        "embeddings.sum": (model.bert.embeddings.LayerNorm, "input"),
        "embeddings.stream": (model.bert.embeddings.LayerNorm, "output"),
        "embeddings.output": (model.bert.embeddings.LayerNorm, "output"),
        "layers.1.query": (layer.attention.self.query, "output"),
        "layers.1.key": (layer.attention.self.key, "output"),
        "layers.1.value": (layer.attention.self.value, "output"),
        "layers.1.context": (layer.attention.output.dense, "input"),
        "layers.1.attention_sum": (layer.attention.output.LayerNorm, "input"),
        "layers.1.attention_stream": (layer.attention.output.LayerNorm, "output"),
        "layers.1.attention_hidden": (layer.attention.output.LayerNorm, "output"),
        "layers.1.activation_input": (layer.intermediate.dense, "output"),
        "layers.1.activation_output": (layer.output.dense, "input"),
        "layers.1.output_sum": (layer.output.LayerNorm, "input"),
        "layers.1.output_stream": (layer.output.LayerNorm, "output"),
        "layers.1.output_hidden": (layer.output.LayerNorm, "output"),
        "head.pooler_input": (model.bert.pooler.dense, "output"),
        "head.pooler_output": (model.bert.pooler.activation, "output"),
    }
    expected: dict[str, Tensor] = {}
    for name, (module, side) in modules.items():

        def keep(_: Any, inputs: Any, output: Any, name: str = name, side: str = side) -> None:
            expected[name] = inputs[0] if side == "input" else output

        module.register_forward_hook(keep)
    batch = batch_for(ours)
    reference(model, batch)
    seen: dict[str, np.ndarray] = {}

    def note(name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        seen[name] = values.numpy()
        return values

    ours.forward(batch, note)
    for name, values in expected.items():
        np.testing.assert_allclose(
            tokens_of(seen[name], batch), tokens_of(values.numpy(), batch), rtol=0, atol=1e-5, err_msg=name
        )


def test_hook_replaces_the_values_that_the_forward_goes_on_with() -> None:
    ours = load_float_model(make_model("Bert", "ForSequenceClassification"))

    def blank(name: str, values: Tensor, mask: Tensor | None) -> Tensor:
        return torch.zeros_like(values) if name == "head.pooler_output" else values

    batch = batch_for(ours)
    bias = ours.weights["head.classifier.bias"]
    np.testing.assert_array_equal(ours.forward(batch, blank), np.tile(bias, (3, 1)))


def test_predict_keeps_the_order_of_the_texts(tmp_path: Path) -> None:
    ours = load_float_model(save_sentence_transformer(tmp_path, {"pooling_mode": "mean"}, normalize=True))
    together = ours.predict(SENTENCES, size=2)
    alone = np.concatenate([ours.predict([sentence]) for sentence in SENTENCES])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_predict_reads_pairs_with_their_token_types(tmp_path: Path) -> None:
    ours = load_float_model(save_model(make_model("Bert", "ForSequenceClassification"), tmp_path))
    pair = ours.predict([(SENTENCES[0], SENTENCES[1])])
    assert pair.shape == (1, 2)
    assert not np.allclose(pair, ours.predict([(SENTENCES[1], SENTENCES[0])]), atol=1e-4)


def test_predict_refuses_heads_with_outputs_per_token(tmp_path: Path) -> None:
    ours = load_float_model(save_model(make_model("Bert", "ForMaskedLM"), tmp_path))
    with pytest.raises(InputError, match="outputs per token"):
        ours.predict(SENTENCES)


def test_no_tokenizer_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        load_float_model(make_model("Bert", "Model")).batches(SENTENCES)


def test_model_in_memory_is_copied() -> None:
    model: Any = make_model("Bert", "Model")
    ours = load_float_model(model)
    before = ours.weights["embeddings.word.weight"].copy()
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.zero_()
    np.testing.assert_array_equal(ours.weights["embeddings.word.weight"], before)
