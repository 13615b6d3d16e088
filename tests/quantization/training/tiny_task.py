"""A tiny classification task: a model, its tokenizer, and a folder like GLUE's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from intbert.compiler import oracle
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.quantization.float_model import FloatModel
from intbert.quantization.methods import Method, get_method
from intbert.quantization.request import Request, Training
from intbert.quantization.scheme import Scheme
from intbert.quantization.tokenization import Batch
from intbert.quantization.training.fake_quantization import FakeQuantization
from intbert.quantization.training.finish import finish
from intbert.quantization.training.options import TrainingOptions
from intbert.quantization.training.student import Student

from ...models import Size, tiny_float_model
from ..checkpoints import WORDS, make_batch, save_tokenizer

SENTENCES = 48


def tiny_task(folder: Path, size: Size | None = None, relu: bool = False) -> tuple[FloatModel, Training]:
    """A random BERT with two classes, and sentences of its words whose label says whether "red" is among them."""
    (folder / "tokenizer").mkdir()
    save_tokenizer(folder / "tokenizer")
    (folder / "SST-2").mkdir()
    random = np.random.default_rng(0)
    lines = ["sentence\tlabel"]
    for _ in range(SENTENCES):
        words = random.choice(WORDS, int(random.integers(2, 9))).tolist()
        lines.append(f"{' '.join(words)}\t{int('red' in words)}")
    for split in ("train", "dev"):
        (folder / "SST-2" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    chosen = size or Size(hidden=24, layers=2, heads=4, intermediate=40)
    model = tiny_float_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION, chosen, relu).with_tokenizer(
        folder / "tokenizer"
    )
    return model, Training("sst2", folder, folder / "work")


def quantized(
    model: FloatModel, training: Training, name: str, bits: dict[str, int] | None = None, **options: Any
) -> QuantizedModel:
    """``model`` trained for a few steps with the method ``name`` and integer-only."""
    method = get_method(name)
    defaults = {"epochs": 1, "batch_size": 16, "max_length": 16}
    parsed = method.parse_options({**defaults, **options})
    return method.quantize(Request(model, customized(method, **(bits or {})), parsed, training=training))


def customized(
    method: Method,
    weight_bits: int | None = None,
    activation_bits: int | None = None,
    embedding_bits: int | None = None,
) -> Scheme:
    """The scheme of ``method`` with these bits."""
    return method.customized(weight_bits=weight_bits, activation_bits=activation_bits, embedding_bits=embedding_bits)


def export_untrained(
    model: FloatModel, scheme: Scheme, quantization: FakeQuantization
) -> tuple[Student, QuantizedModel]:
    """The student as it begins to train, and its integers."""
    student = Student(model, quantization)
    batch = tensors(batch_of(model, seed=1))
    quantization.prepare(student, batch)
    return student, finish(Request(model, scheme, TrainingOptions()), scheme, student, iter([batch]), {})


def assert_agreement(student: Student, integer: QuantizedModel, decibels: float = 20) -> None:
    """The oracle's logits are the student's, but for the integer operators' own error."""
    batch = batch_of(integer, seed=1)
    with torch.no_grad():
        expected = student(**tensors(batch))["logits"].numpy()
    found = integer_logits(integer, batch)
    assert signal_to_noise(expected, found) > decibels
    gap = np.abs(expected[:, 0] - expected[:, 1])
    clear = gap > 4 * np.abs(expected - found).max()
    assert clear.sum() >= len(clear) / 3
    assert (expected.argmax(1) == found.argmax(1))[clear].all()


def batch_of(model: QuantizedModel | FloatModel, seed: int = 5) -> Batch:
    """Random sentences of several lengths."""
    lengths = (12, 9, 9, 8, 7, 7, 6, 5, 5, 4, 3, 2)
    return make_batch(model.architecture.pad_token_id, lengths, model.architecture.token_types, seed)


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """What a student's forward takes."""
    arrays = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "token_type_ids": batch.token_type_ids,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def integer_logits(model: QuantizedModel, batch: Batch) -> np.ndarray:
    """What the oracle computes, as floats."""
    integers = oracle.run(model, batch.input_ids, batch.attention_mask, batch.token_type_ids)
    return integers * oracle.output_scale(model)


def signal_to_noise(reference: np.ndarray, found: np.ndarray) -> float:
    """In decibels."""
    return float(10 * np.log10(np.square(reference).sum() / np.square(reference - found).sum()))
