"""The quantization methods that work, by name: what each can do, when to choose it, and what computes it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..compiler.model import QuantizedModel
from ..errors import SchemeError
from .scheme import Granularity, Operator, Scheme

if TYPE_CHECKING:
    from .request import Request

EIGHT = range(8, 9)
TWO_TO_EIGHT = range(2, 9)


@dataclass(frozen=True)
class Method:
    """A quantization method: its scheme by default, what may be chosen instead, and what computes it."""

    scheme: Scheme
    function: str
    """``module:name`` inside this package: ``Request -> QuantizedModel``. Imported when it is called."""
    when: str
    """When to choose it, one sentence."""
    weight_bits: range = EIGHT
    activation_bits: range = EIGHT
    embedding_bits: range = EIGHT
    options: str | None = None
    """``module:name`` of a frozen dataclass with the method's own options and their defaults."""
    trains: bool = False
    """Whether it trains on a task's data, rather than observe a few sentences."""
    judges: bool = False
    """Whether it judges models on a task's development set."""

    @property
    def name(self) -> str:
        """The name of the method and of its scheme."""
        return self.scheme.name

    @property
    def needs_task(self) -> bool:
        """Whether it needs a task and its data."""
        return self.trains or self.judges

    def customized(
        self,
        *,
        weight_bits: int | None = None,
        activation_bits: int | None = None,
        embedding_bits: int | None = None,
        granularity: Granularity | None = None,
    ) -> Scheme:
        """The scheme with other bits; SchemeError for bits that the method does not support."""
        changes: dict[str, Any] = {}
        for field, value in (
            ("weight_bits", weight_bits),
            ("activation_bits", activation_bits),
            ("embedding_bits", embedding_bits),
        ):
            if value is None:
                continue
            supported: range = getattr(self, field)
            if value not in supported:
                what = f"{shown_bits(supported)} {field.replace('_', ' ')}"
                raise SchemeError(f"the method {self.name} supports {what}, not {value}")
            changes[field] = value
        if granularity is not None:
            changes["weight_granularity"] = granularity
        return replace(self.scheme, **changes)

    def option_defaults(self) -> dict[str, Any]:
        """The method's options and what they are unless given."""
        if self.options is None:
            return {}
        return {field.name: field.default for field in fields(_resolve(self.options))}

    def parse_options(self, given: Mapping[str, Any]) -> Any:
        """The method's options with what is ``given`` by name; SchemeError for an unknown or unusable one."""
        if self.options is None:
            if given:
                raise SchemeError(f"the method {self.name} has no options; '{next(iter(given))}' was given")
            return None
        options = _resolve(self.options)
        defaults = self.option_defaults()
        for name in given:
            if name not in defaults:
                raise SchemeError(f"the method {self.name} has no option '{name}'; it has {', '.join(defaults)}")
        return options(**{name: _typed(self.name, name, value, defaults[name]) for name, value in given.items()})

    def quantize(self, request: Request) -> QuantizedModel:
        """Does what ``request`` asks for."""
        return _resolve(self.function)(request)


def shown_bits(bits: range) -> str:
    """``8``, ``4 or 8``, ``2 to 8``."""
    if len(bits) <= 2:
        return " or ".join(map(str, bits))
    return f"{bits[0]} to {bits[-1]}"


def _resolve(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(f".{module}", __package__), name)


def _typed(method: str, name: str, value: Any, default: Any) -> Any:
    """``value``, a string from the command line or a value from Python, as the type of ``default``."""
    try:
        if isinstance(default, bool) and isinstance(value, str):
            return {"true": True, "false": False}[value.lower()]
        return type(default)(value)
    except (KeyError, TypeError, ValueError):
        kind = type(default).__name__
        raise SchemeError(f"option {name} of the method {method} must be a {kind}, it is {value!r}") from None


def _integer_only(name: str, description: str, source: str, **changes: Any) -> Scheme:
    defaults: dict[str, Any] = {
        "weight_bits": 8,
        "activation_bits": 8,
        "embedding_bits": 8,
        "stream_bits": 15,
        "weight_granularity": Granularity.ROW,
        "integer_operators": frozenset(Operator),
    }
    return Scheme(name=name, description=description, source=source, **{**defaults, **changes})


_REGISTERED = (
    Method(
        _integer_only(
            "ibert",
            "integer-only W8A8 after training: int8 weights per channel, 15-bit residual stream",
            "Kim et al., I-BERT: Integer-only BERT Quantization, ICML 2021",
        ),
        "ibert:quantize_ibert",
        "The first to try: 8 bits, a minute, accuracy of the float model; with a task's data it trains for the rest.",
        options="ibert:IbertOptions",
    ),
    Method(
        Scheme(
            "q8bert",
            "8-bit linears and embeddings, trained; float layer normalization, softmax, GELU and attention",
            "Zafrir et al., Q8BERT: Quantized 8Bit BERT, 2019",
            weight_bits=8,
            activation_bits=8,
            embedding_bits=8,
            stream_bits=15,
            weight_granularity=Granularity.TENSOR,
            integer_operators=frozenset({Operator.EMBEDDING, Operator.LINEAR}),
        ),
        "q8bert:quantize_q8bert",
        "Processors with a fast floating-point unit; option integer_only=true does without one.",
        options="q8bert:Q8BertOptions",
        trains=True,
    ),
    Method(
        _integer_only(
            "lq",
            "linear quantization over the whole range, after training, 2 to 8 bits",
            "Hu, Meinel, Yang, Empirical Evaluation of Post-Training Quantization Methods for Language Tasks, 2022",
        ),
        "post_training:quantize_lq",
        "A baseline to compare other post-training methods with; 8 bits, or 4-bit weights with some loss.",
        weight_bits=TWO_TO_EIGHT,
        activation_bits=TWO_TO_EIGHT,
        embedding_bits=TWO_TO_EIGHT,
    ),
    Method(
        _integer_only(
            "aciq",
            "analytical clipping for a Laplace or Gauss distribution, after training, 2 to 8 bits",
            "Banner, Nahshan, Soudry, Post training 4-bit quantization of convolutional networks for "
            "rapid-deployment, NeurIPS 2019",
            weight_bits=4,
        ),
        "post_training.aciq:quantize_aciq",
        "4-bit weights in seconds, and the one to try first for activations of fewer than 8 bits.",
        weight_bits=TWO_TO_EIGHT,
        activation_bits=TWO_TO_EIGHT,
        embedding_bits=TWO_TO_EIGHT,
        options="post_training.aciq:AciqOptions",
    ),
    Method(
        _integer_only(
            "ocs",
            "outlier channel splitting and clipping, after training, 2 to 8 bits",
            "Zhao, Hu, Dotzel, De Sa, Zhang, Improving Neural Network Quantization without Retraining using "
            "Outlier Channel Splitting, ICML 2019",
            weight_bits=4,
        ),
        "post_training.ocs:quantize_ocs",
        "3- or 4-bit weights in a minute, without training, for 2 % more of them.",
        weight_bits=TWO_TO_EIGHT,
        activation_bits=TWO_TO_EIGHT,
        embedding_bits=TWO_TO_EIGHT,
        options="post_training.ocs:OcsOptions",
    ),
    Method(
        _integer_only(
            "brecq",
            "roundings learned layer by layer on calibration text, 2 to 8 bits",
            "Li et al., BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction, ICLR 2021",
            weight_bits=3,
        ),
        "post_training.brecq:quantize_brecq",
        "The best without labels: 2- or 3-bit weights, a few minutes on a laptop.",
        weight_bits=TWO_TO_EIGHT,
        activation_bits=TWO_TO_EIGHT,
        embedding_bits=TWO_TO_EIGHT,
        options="post_training.brecq:BrecqOptions",
    ),
    Method(
        _integer_only(
            "kdlsq",
            "learned step sizes with hidden, attention and logit distillation, 2 to 8 bits",
            "Jin et al., KDLSQ-BERT: A Quantized BERT Combining Knowledge Distillation with Learned Step Size "
            "Quantization, 2021",
            weight_bits=4,
            embedding_bits=4,
        ),
        "kdlsq:quantize_kdlsq",
        "Fewer than 8 bits with the accuracy of the float model, where there is a task's data to train on.",
        weight_bits=TWO_TO_EIGHT,
        activation_bits=TWO_TO_EIGHT,
        embedding_bits=TWO_TO_EIGHT,
        options="kdlsq:KdlsqOptions",
        trains=True,
    ),
    Method(
        _integer_only(
            "mkqbert",
            "4-bit weights and activations in the least sensitive layers, 8 bits in the others; MiniLM's distillation",
            "Tang et al., MKQ-BERT: Quantized BERT with 4-bits Weights and Activations, 2022",
            weight_bits=4,
            activation_bits=4,
            embedding_bits=4,
        ),
        "mkqbert:quantize_mkqbert",
        "4-bit multiplications in a part of the encoder, and fewer than a fifth of the bits.",
        weight_bits=range(4, 5),
        activation_bits=range(4, 5),
        embedding_bits=range(4, 9),
        options="mkqbert:MkqbertOptions",
        trains=True,
    ),
    Method(
        _integer_only(
            "binarybert",
            "1-bit weights and word embeddings, 8- or 4-bit activations: ternary weights of half the width, split",
            "Bai et al., BinaryBERT: Pushing the Limit of BERT Quantization, ACL 2021",
            weight_bits=1,
            embedding_bits=1,
            weight_granularity=Granularity.TENSOR,
        ),
        "binarybert:quantize_binarybert",
        "The smallest: 24 times smaller than float32, for a longer training and some points of accuracy.",
        weight_bits=range(1, 2),
        activation_bits=range(4, 9, 4),
        embedding_bits=range(1, 2),
        options="binarybert:BinarybertOptions",
        trains=True,
    ),
    Method(
        _integer_only(
            "auto",
            "searches post-training methods and the bits of every part for the smallest or fastest model that is good",
            "the methods that it tries; the search: Sinha and Zoltners, The Multiple-Choice Knapsack Problem, 1979",
        ),
        "auto.method:quantize_auto",
        "When you know how much accuracy you can give up, and have the task's data to judge models on.",
        options="auto.options:AutoOptions",
        judges=True,
    ),
)

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _REGISTERED})
"""Every method that works, by name."""


def get_method(name: str) -> Method:
    """The method called ``name``; raises SchemeError that names the near ones when there is none."""
    try:
        return METHODS[name]
    except KeyError:
        near = difflib.get_close_matches(name, METHODS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(METHODS))}"
        raise SchemeError(f"there is no quantization method '{name}'; {hint}") from None
