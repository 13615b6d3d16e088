"""Quantized models that several parts test with: tiny random ones, and all-MiniLM-L6-v2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from intbert.compiler.model import Head, HeadKind, QuantizedModel
from intbert.compiler.runtime.inputs import Tokens
from intbert.quantization import quantize
from intbert.quantization.checkpoint import load_float_model
from intbert.quantization.demo import demo_model_folder
from intbert.quantization.float_model import FloatModel
from intbert.quantization.methods import get_method
from intbert.quantization.request import Calibration, Request

from .quantization.checkpoints import VOCABULARY, make_batch, make_model

CLASSES = {
    HeadKind.NONE: "Model",
    HeadKind.MEAN_POOLING: "Model",
    HeadKind.SEQUENCE_CLASSIFICATION: "ForSequenceClassification",
    HeadKind.TOKEN_CLASSIFICATION: "ForTokenClassification",
    HeadKind.QUESTION_ANSWERING: "ForQuestionAnswering",
    HeadKind.MASKED_LM: "ForMaskedLM",
}


@dataclass(frozen=True)
class Size:
    """The sizes of a tiny encoder; by default none is a multiple of a vector register."""

    hidden: int = 24
    layers: int = 1
    heads: int = 3
    intermediate: int = 40
    vocabulary: int = VOCABULARY

    def config(self, family: str) -> dict[str, Any]:
        """The arguments of transformers' configuration."""
        if family == "DistilBert":
            names = ("dim", "n_layers", "n_heads", "hidden_dim", "vocab_size")
        else:
            names = (
                "hidden_size",
                "num_hidden_layers",
                "num_attention_heads",
                "intermediate_size",
                "vocab_size",
            )
        values = (self.hidden, self.layers, self.heads, self.intermediate, self.vocabulary)
        return dict(zip(names, values, strict=True))


def tiny_float_model(
    family: str, head: HeadKind, size: Size | None = None, relu: bool = False, seed: int = 0
) -> FloatModel:
    """A random model of ``family`` (``Bert``, ``Roberta``, ``DistilBert``)."""
    changes = (size or Size()).config(family)
    if relu:
        changes["activation" if family == "DistilBert" else "hidden_act"] = "relu"
    model = load_float_model(make_model(family, CLASSES[head], seed, **changes))
    if head is HeadKind.MEAN_POOLING:
        return replace(model, architecture=replace(model.architecture, head=Head(head, normalize=True)))
    return model


def tiny_model(
    family: str, head: HeadKind, size: Size | None = None, relu: bool = False, seed: int = 0
) -> QuantizedModel:
    """That model quantized."""
    model = tiny_float_model(family, head, size, relu, seed)
    architecture = model.architecture
    batches = [
        make_batch(architecture.pad_token_id, (16, 9, 4, 1), architecture.token_types, seed=number)
        for number in range(3)
    ]
    return get_method("ibert").quantize(Request(model, get_method("ibert").scheme, calibration=Calibration(batches)))


def inputs(model: QuantizedModel, batch: int, length: int, seed: int = 0) -> Tokens:
    """Random token ids, types, and a mask: padding at the end of most rows, a hole here and there."""
    random = np.random.default_rng(seed)
    shape = (batch, length)
    mask = np.arange(length) < random.integers(1, length + 1, (batch, 1))
    mask &= random.random(shape) < 0.9
    mask[:, 0] = True
    types = random.integers(0, max(1, model.architecture.token_types), shape)
    ids = random.integers(0, model.architecture.vocabulary, shape)
    return Tokens(*(np.ascontiguousarray(array.astype(np.int32)) for array in (ids, mask, types)))


CALIBRATION = (
    "The ferry leaves at a quarter past nine, if the fog lifts.",
    "It rains.",
    "Nobody had told her that the library closes early on Fridays.",
    "Prices of wheat and barley rose again in the spring of that year.",
    "How many of these have you read?",
    "A man in a red hat is playing the guitar on a bridge.",
)


@cache
def minilm() -> QuantizedModel:
    """all-MiniLM-L6-v2, quantized on a few sentences; once in a test run."""
    return quantize(demo_model_folder(), sentences=CALIBRATION, max_length=32)
