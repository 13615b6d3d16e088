"""QuantizedModel: the integers, scales and structure that every quantizer writes and the compiler reads.

How it is stored: :mod:`intbert.compiler.model_files`.

Tensor names and shapes (``H`` hidden, ``I`` intermediate, ``V`` vocabulary), all int8 unless said:

========================================  =========  ==========================================
``embeddings.word.weight``                [V, H]
``embeddings.position.weight``            [P, H]
``embeddings.token_type.weight``          [Y, H]     absent when the family has no token types
``embeddings.norm.gamma`` / ``.beta``     [H]        int16
``layers.{i}.query|key|value.weight``     [A, H]     rows are output channels; A: channels of all heads, mostly H
``layers.{i}.attention_output.weight``    [H, A]
``layers.{i}.attention_norm.gamma|beta``  [H]        int16
``layers.{i}.intermediate.weight``        [I, H]
``layers.{i}.output.weight``              [H, I]
``layers.{i}.output_norm.gamma|beta``     [H]        int16
``head.*``                                           see :class:`HeadKind`
every linear's ``.bias``                  [N]        int32, scale = input scale * weight scale
a linear's ``.split``                     [R]        int32: column K + r of its weight [N, K + R] reads the input
                                                     channel ``split[r]`` (outlier channel splitting)
========================================  =========  ==========================================

Where :class:`FloatOperators` are present, gamma and beta are float32, and so may biases and embedding tables be; the
channels of an activation that has a tensor ``{activation}.factors`` (float32 [H] or [I]) are multiplied by it before
they are quantized. ``embeddings.{word|position|token_type}.zero_point`` (int8 [1], absent where it is 0) is the
zero point of an integer table.

The head's linears are ``head.pooler`` (BERT and RoBERTa classification: dense + tanh; DistilBERT: dense
+ ReLU), ``head.classifier`` (logits), ``head.transform`` + ``head.transform_norm`` (masked LM) and
``head.decoder`` (masked LM logits, [V, H]).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import QuantizedModelError
from .packing import Packing

TOKENIZER_FILE = "tokenizer.json"


class Family(str, Enum):
    """The checkpoint families that can be imported."""

    BERT = "bert"
    ROBERTA = "roberta"
    DISTILBERT = "distilbert"


class HeadKind(str, Enum):
    """What the model computes from the last encoder layer."""

    NONE = "none"
    MEAN_POOLING = "mean_pooling"
    SEQUENCE_CLASSIFICATION = "sequence_classification"
    TOKEN_CLASSIFICATION = "token_classification"
    QUESTION_ANSWERING = "question_answering"
    MASKED_LM = "masked_lm"

    @property
    def per_token(self) -> bool:
        """Whether the output has a row a token rather than a row a sentence."""
        return self not in (HeadKind.MEAN_POOLING, HeadKind.SEQUENCE_CLASSIFICATION)


class Activation(str, Enum):
    """Element-wise activations of the feed-forward block and of the heads."""

    GELU = "gelu"
    RELU = "relu"
    TANH = "tanh"


@dataclass(frozen=True)
class Head:
    """The head: its kind, the pooler's activation, its labels, and whether floats are normalized to unit length."""

    kind: HeadKind
    pooler_activation: Activation | None = None
    labels: tuple[str, ...] = ()
    normalize: bool = False


@dataclass(frozen=True)
class Architecture:
    """The structure of an encoder with post-layer normalization (BERT, RoBERTa, DistilBERT)."""

    family: Family
    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    """Rows of the position table that a sequence can use (RoBERTa's two padding rows are not counted)."""
    position_offset: int
    """Row of the position table that the first token uses (RoBERTa: padding_idx + 1)."""
    token_types: int
    pad_token_id: int
    activation: Activation
    head: Head
    attention_width: int | None = None
    """Channels of all attention heads together; None: as many as ``hidden``."""

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "heads", "intermediate", "vocabulary", "positions"):
            if getattr(self, name) < 1:
                raise QuantizedModelError(f"architecture: {name} is {getattr(self, name)}, it must be positive")
        if (self.attention_width or self.hidden) % self.heads:
            width = "hidden size" if self.attention_width is None else "attention width"
            raise QuantizedModelError(
                f"architecture: {width} {self.attention_width or self.hidden} is not a multiple of {self.heads} "
                "attention heads"
            )

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return (self.attention_width or self.hidden) // self.heads


def architecture_from_json(document: dict[str, Any]) -> Architecture:
    """The inverse of ``asdict(architecture)``."""
    head = document["head"]
    pooler = head["pooler_activation"]
    return Architecture(
        **{
            **document,
            "family": Family(document["family"]),
            "activation": Activation(document["activation"]),
            "head": Head(
                kind=HeadKind(head["kind"]),
                pooler_activation=None if pooler is None else Activation(pooler),
                labels=tuple(head["labels"]),
                normalize=head["normalize"],
            ),
        }
    )


@dataclass(frozen=True)
class Quantization:
    """How one activation is represented: ``real = (integer - zero_point) * scale``, in ``bits`` signed bits.

    ``narrow_range``: the most negative integer, ``-2^(bits-1)``, is not used. Unsigned integers of a graph that was
    quantized elsewhere become signed ones: both they and their zero point are lowered by ``2^(bits-1)``.
    """

    scale: float
    bits: int
    zero_point: int = 0
    narrow_range: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise QuantizedModelError(f"quantization: scale {self.scale} is not a positive finite number")
        if not 2 <= self.bits <= 16:
            raise QuantizedModelError(f"quantization: {self.bits} bits are outside 2..16")
        if not self.low <= self.zero_point <= self.limit:
            raise QuantizedModelError(
                f"quantization: zero point {self.zero_point} is outside {self.low}..{self.limit}, all that "
                f"{self.bits} bits hold"
            )

    @property
    def limit(self) -> int:
        """The largest integer, ``2^(bits-1) - 1``."""
        return 2 ** (self.bits - 1) - 1

    @property
    def low(self) -> int:
        """The smallest integer: ``-limit``, or one less without ``narrow_range``."""
        return -self.limit if self.narrow_range else -self.limit - 1


@dataclass(frozen=True)
class WeightTensor:
    """An integer tensor with its scale: ``real = values * scale``; one scale, or one per row.

    ``packing``: how values of fewer than 8 bits, int8 in memory, are stored on disk and in artifacts.
    """

    values: NDArray[Any]
    scale: NDArray[np.float64]
    packing: Packing | None = None

    def __post_init__(self) -> None:
        if self.packing is not None:
            self.packing.check(self.values)
        if self.scale.shape not in ((), (self.values.shape[0],)):
            raise QuantizedModelError(
                f"weight of shape {self.values.shape} has a scale of shape {self.scale.shape}; "
                "one scale, or one per row"
            )


@dataclass(frozen=True)
class FloatOperators:
    """What a mixed model computes in floating point: everything but its linears and embedding tables (Q8BERT).

    The linears read 8-bit activations; their outputs, and what lies between two linears, are float32.
    """

    norm_epsilon: float
    """Added to the variance by the layer normalizations."""
    dynamic: frozenset[str] = frozenset()
    """Activations whose scale and zero point are computed from their values at run time (dynamic quantization)."""


@dataclass(frozen=True)
class QuantizedModel:
    """A quantized BERT: structure, integer weights, activation scales. Needs no torch.

    Activation names (bits): ``embeddings.sum`` (15), ``embeddings.stream`` (15), ``embeddings.output`` (8);
    per layer ``layers.{i}.``: ``query``, ``key``, ``value``, ``context`` (8), ``attention_sum``,
    ``attention_stream`` (15), ``attention_hidden`` (8), ``activation_input`` (15), ``activation_output`` (8),
    ``output_sum``, ``output_stream`` (15), ``output_hidden`` (8); heads: ``head.pooler_input`` (15, tanh's or
    ReLU's input), ``head.pooler_output`` (8), ``head.transform_input`` (15), ``head.transform_sum`` (15),
    ``head.transform_hidden`` (8). ``*_sum`` is the input of a layer normalization, ``*_stream`` its output as the
    residual reads it, ``*_hidden`` and ``embeddings.output`` its output as the next linear reads it. The wide
    activations have 15 bits in 16-bit lanes: the spare bit lets a difference or a doubled value stay in its lane.
    What a linear reads may have 2 to 8 bits and a zero point; ``query``, ``key`` and ``value`` have no zero point.

    A mixed model (``float_operators``) has scales only for what its linears read: ``embeddings.output`` and the
    ``context``, ``attention_hidden``, ``activation_output``, ``output_hidden``, ``head.pooler_output``,
    ``head.transform_hidden`` of the above, and not of the dynamic ones. Values between its float operators may be
    quantized and dequantized (8 bits, a zero point) where they have one of these names: ``query``, ``key``, ``value``,
    ``scores``, ``probabilities``; ``*_stream`` as the residual or the output reads it; ``*_sum``;
    ``embeddings.word_position`` or ``embeddings.word_token_type``, the sum of these two; ``{linear}.product``, before
    the bias, and ``{linear}.output``, after it; of the GELU after a linear ``{linear}.erf`` (erf(x / sqrt 2)),
    ``{linear}.gate`` (that plus 1), ``{linear}.gated`` (that times x). Rounded again, they are ``NAME.2``, ``NAME.3``.
    """

    architecture: Architecture
    scheme: str
    weights: dict[str, WeightTensor]
    activations: dict[str, Quantization]
    provenance: dict[str, Any] = field(default_factory=dict)
    float_operators: FloatOperators | None = None
    """None: every operator is integer."""
    tokenizer: Path | None = None
    """The folder that holds ``tokenizer.json``, if there is one."""

    def weight(self, name: str) -> WeightTensor:
        """The weight called ``name``; raises QuantizedModelError that names it when it is missing."""
        try:
            return self.weights[name]
        except KeyError:
            raise QuantizedModelError(f"the quantized model has no tensor '{name}'; quantize it again") from None

    def activation(self, name: str) -> Quantization:
        """The quantization of the activation ``name``; raises QuantizedModelError when it is missing."""
        try:
            return self.activations[name]
        except KeyError:
            raise QuantizedModelError(f"the quantized model has no scale for '{name}'; quantize it again") from None

    def with_tokenizer(self, folder: Path) -> QuantizedModel:
        """A copy whose tokenizer lies in ``folder``."""
        return replace(self, tokenizer=folder)


def repeated(activation: str, number: int) -> str:
    """The name of the rounding ``number``, from 0 on, of a value that is rounded several times in a row."""
    return activation if number == 0 else f"{activation}.{number + 1}"
