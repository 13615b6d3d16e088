"""Hugging Face I-BERT checkpoints: their ranges are taken exactly, their logits nearly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from intbert.compiler import oracle
from intbert.compiler.lowering import lower
from intbert.errors import CheckpointError
from intbert.quantization import import_quantized, load_float_model
from safetensors.torch import load_file, save_file

from ..checkpoints import POSITIONS, VOCABULARY, change_json, save_tokenizer

LOGIT_TOLERANCE = 0.1
"""I-BERT's polynomials and 8-bit residuals differ from the operators here, and its heads are float: logits of up to 1
differ by up to 0.04 in a model of 16 channels."""


def make_model(head: str = "ForSequenceClassification", **changes: Any) -> Any:
    sizes: dict[str, Any] = {
        "num_labels": 2,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 28,
    }
    config = transformers.IBertConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=POSITIONS,
        type_vocab_size=1,
        pad_token_id=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **{**sizes, "quant_mode": True, **changes},
    )
    model = getattr(transformers, f"IBert{head}")(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.3, generator=generator)
            if "norm" in name.lower() and name.endswith("weight"):
                parameter.add_(1)
    model.train()
    for _ in range(8):
        model(torch.randint(2, VOCABULARY, (4, 12), generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return make_model()


@pytest.fixture
def folder(model: Any, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "ibert")
    save_tokenizer(tmp_path / "ibert", pad=1)
    return tmp_path / "ibert"


def test_the_ranges_are_those_of_the_checkpoint(folder: Path) -> None:
    quantized, tensors = import_quantized(folder), load_file(folder / "model.safetensors")

    def largest(module: str) -> float:
        return max(abs(tensors[f"ibert.{module}.{bound}"].item()) for bound in ("x_min", "x_max"))

    for name, module in {
        "embeddings.sum": "embeddings.embeddings_act1",
        "embeddings.output": "embeddings.output_activation",
        "layers.0.query": "encoder.layer.0.attention.self.query_activation",
        "layers.1.key": "encoder.layer.1.attention.self.key_activation",
        "layers.0.value": "encoder.layer.0.attention.self.value_activation",
        "layers.1.context": "encoder.layer.1.attention.self.output_activation",
        "layers.0.attention_sum": "encoder.layer.0.attention.output.ln_input_act",
        "layers.0.attention_hidden": "encoder.layer.0.pre_intermediate_act",
        "layers.1.activation_output": "encoder.layer.1.pre_output_act",
        "layers.1.output_sum": "encoder.layer.1.output.ln_input_act",
        "layers.1.output_hidden": "encoder.layer.1.output.output_activation",
    }.items():
        activation = quantized.activations[name]
        assert activation.scale == largest(module) / activation.limit, name


def test_the_integers_of_the_weights_are_those_of_the_checkpoint(folder: Path) -> None:
    quantized, tensors = import_quantized(folder), load_file(folder / "model.safetensors")
    for name, module in {
        "layers.0.query": "encoder.layer.0.attention.self.query",
        "layers.1.output": "encoder.layer.1.output.dense",
        "embeddings.word": "embeddings.word_embeddings",
        "embeddings.position": "embeddings.position_embeddings",
    }.items():
        stored = tensors[f"ibert.{module}.weight_integer"].numpy().astype(np.int8)
        np.testing.assert_array_equal(quantized.weights[f"{name}.weight"].values, stored)


def test_it_is_integer_only_and_near_transformers(model: Any, folder: Path) -> None:
    quantized = import_quantized(folder)
    assert quantized.float_operators is None
    assert quantized.tokenizer == folder
    generator = torch.Generator().manual_seed(1)
    for length in (12, 5, 1):
        ids = torch.randint(2, VOCABULARY, (4, length), generator=generator)
        mask = torch.ones_like(ids)
        if length > 5:
            ids[1:, 8:], mask[1:, 8:] = 1, 0
        with torch.no_grad():
            expected = model(ids, attention_mask=mask).logits.numpy()
        found = oracle.run(quantized, ids.numpy(), mask.numpy()) * oracle.output_scale(quantized)
        np.testing.assert_allclose(found, expected, rtol=0, atol=LOGIT_TOLERANCE)


@pytest.mark.parametrize("head", ["Model", "ForTokenClassification", "ForQuestionAnswering"])
def test_other_heads(head: str, tmp_path: Path) -> None:
    make_model(head).save_pretrained(tmp_path)
    assert lower(import_quantized(tmp_path)).token_level


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_without_quant_mode(folder: Path) -> None:
    change_json(folder / "config.json", quant_mode=False)
    with pytest.raises(CheckpointError, match=r"quant_mode is off, .* fine-tune it with quant_mode=True"):
        import_quantized(folder)


def test_a_masked_lm(folder: Path) -> None:
    change_json(folder / "config.json", architectures=["IBertForMaskedLM"])
    with pytest.raises(CheckpointError, match="the masked LM head of I-BERT is float and has no ranges"):
        import_quantized(folder)


def test_a_range_that_was_never_trained(folder: Path) -> None:
    name = "ibert.encoder.layer.1.pre_output_act"

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{name}.x_min"], tensors[f"{name}.x_max"] = torch.tensor([-1e-5]), torch.tensor([1e-5])

    rewritten(folder, change)
    with pytest.raises(CheckpointError, match=f"the range of '{name}' is 1e-05, it was never trained"):
        import_quantized(folder)


def test_a_range_that_is_missing(folder: Path) -> None:
    name = "ibert.embeddings.output_activation.x_max"

    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[name]

    rewritten(folder, change)
    with pytest.raises(CheckpointError, match=f"tensor '{name}' is missing; save the model with quant_mode=True"):
        import_quantized(folder)


def test_an_infinite_range(folder: Path) -> None:
    name = "ibert.encoder.layer.0.attention.self.query_activation"
    rewritten(folder, lambda tensors: tensors.update({f"{name}.x_max": torch.tensor([float("inf")])}))
    with pytest.raises(CheckpointError, match=f"the range of '{name}' is inf"):
        import_quantized(folder)


def test_the_float_loader_points_to_the_importer(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="an I-BERT checkpoint is quantized already; `intbert import` reads it"):
        load_float_model(folder)
