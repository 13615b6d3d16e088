"""A Hugging Face ``config.json`` -> our Architecture, or a clear error that names what is supported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..compiler.model import Activation, Architecture, Family, Head, HeadKind
from ..errors import CheckpointError, QuantizedModelError
from .families import head_kinds


@dataclass(frozen=True)
class Configuration:
    """What ``config.json`` says."""

    architecture: Architecture
    norm_epsilon: float
    tied: bool
    """Whether the masked LM decoder shares the word embedding table."""
    notes: tuple[str, ...]
    """Where the import deviates from the checkpoint, for the provenance."""


@dataclass(frozen=True)
class _Keys:
    hidden: str = "hidden_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    intermediate: str = "intermediate_size"
    activation: str = "hidden_act"


_KEYS = {
    Family.BERT: _Keys(),
    Family.ROBERTA: _Keys(),
    Family.DISTILBERT: _Keys("dim", "n_layers", "n_heads", "hidden_dim", "activation"),
}
_ACTIVATIONS = {"gelu": Activation.GELU, "relu": Activation.RELU}
_TANH_GELUS = ("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh")


def read_configuration(config: Mapping[str, Any], where: str, mean_pooling: Head | None = None) -> Configuration:
    """Reads ``config``; ``mean_pooling`` replaces the head that its ``architectures`` names.

    Raises CheckpointError, its message starting with ``where``, when the model is not supported.
    """
    family = _family(config, where)
    _refuse_variants(config, where)
    keys = _KEYS[family]
    activation, notes = _activation(config.get(keys.activation, "gelu"), where)
    pad = config.get("pad_token_id")
    pad = (1 if family is Family.ROBERTA else 0) if pad is None else _integer(config, "pad_token_id", where, minimum=0)
    # RoBERTa's positions count from padding_idx + 1; its table has rows for them.
    offset = pad + 1 if family is Family.ROBERTA else 0
    token_types = 0 if family is Family.DISTILBERT else _integer(config, "type_vocab_size", where, 0, default=2)
    head = mean_pooling or _head(config, family, where)
    if head.kind is HeadKind.MASKED_LM and family is Family.ROBERTA and activation is not Activation.GELU:
        raise CheckpointError(f"{where}: a RoBERTa masked LM head needs hidden_act gelu, not {activation.value}")
    try:
        architecture = Architecture(
            family=family,
            hidden=_integer(config, keys.hidden, where),
            layers=_integer(config, keys.layers, where),
            heads=_integer(config, keys.heads, where),
            intermediate=_integer(config, keys.intermediate, where),
            vocabulary=_integer(config, "vocab_size", where),
            positions=_integer(config, "max_position_embeddings", where) - offset,
            position_offset=offset,
            token_types=token_types,
            pad_token_id=pad,
            activation=activation,
            head=head,
        )
    except QuantizedModelError as error:
        raise CheckpointError(f"{where}: {error}") from None
    return Configuration(architecture, _epsilon(config, family, where), config.get("tie_word_embeddings", True), notes)


def _family(config: Mapping[str, Any], where: str) -> Family:
    if config.get("model_type") == "ibert":
        raise CheckpointError(f"{where}: an I-BERT checkpoint is quantized already; `intbert import` reads it")
    try:
        return Family(config.get("model_type"))
    except ValueError:
        raise CheckpointError(
            f"{where}: model_type {config.get('model_type')!r} is not supported; "
            f"{', '.join(family.value for family in Family)} are"
        ) from None


def _refuse_variants(config: Mapping[str, Any], where: str) -> None:
    position = config.get("position_embedding_type") or "absolute"
    if position != "absolute":
        raise CheckpointError(f"{where}: position_embedding_type '{position}' is not supported; 'absolute' is")
    for key in ("is_decoder", "add_cross_attention"):
        if config.get(key):
            raise CheckpointError(f"{where}: {key} is set; encoders are supported, decoders are not")
    if config.get("pruned_heads"):
        raise CheckpointError(f"{where}: pruned attention heads are not supported")
    if config.get("quantization_config"):
        raise CheckpointError(f"{where}: the checkpoint is quantized already; start from the float checkpoint")


def _activation(name: Any, where: str) -> tuple[Activation, tuple[str, ...]]:
    if name in _TANH_GELUS:
        return Activation.GELU, (f"hidden_act {name} was read as gelu (they differ by less than 5e-4)",)
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        supported = ", ".join([*_ACTIVATIONS, *_TANH_GELUS])
        raise CheckpointError(f"{where}: activation {name!r} is not supported; {supported} are")
    return _ACTIVATIONS[name], ()


def _head(config: Mapping[str, Any], family: Family, where: str) -> Head:
    kinds = head_kinds(family)
    names = config.get("architectures")
    if not isinstance(names, list) or len(names) != 1 or names[0] not in kinds:
        raise CheckpointError(f"{where}: architectures {names!r} is not supported; one of {', '.join(kinds)} is")
    kind = kinds[names[0]]
    if kind is HeadKind.QUESTION_ANSWERING:
        return Head(kind, labels=("start", "end"))
    if kind is HeadKind.TOKEN_CLASSIFICATION:
        return Head(kind, labels=_labels(config, where))
    if kind is HeadKind.SEQUENCE_CLASSIFICATION:
        pooler = Activation.RELU if family is Family.DISTILBERT else Activation.TANH
        return Head(kind, pooler_activation=pooler, labels=_labels(config, where))
    return Head(kind)


def _labels(config: Mapping[str, Any], where: str) -> tuple[str, ...]:
    labels = config.get("id2label")
    if labels is None:
        # transformers' default: num_labels, or two of them.
        return tuple(f"LABEL_{index}" for index in range(_integer(config, "num_labels", where, default=2)))
    try:
        by_index = {int(index): str(label) for index, label in labels.items()}
        if not by_index:
            raise ValueError("no labels")
        return tuple(by_index[index] for index in range(len(by_index)))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CheckpointError(f"{where}: id2label must map 0, 1, ... to names, it is {labels!r}") from None


def _epsilon(config: Mapping[str, Any], family: Family, where: str) -> float:
    # DistilBERT has no such key: its modules fix 1e-12.
    value = 1e-12 if family is Family.DISTILBERT else config.get("layer_norm_eps", 1e-12)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise CheckpointError(f"{where}: layer_norm_eps is {value!r}, it must be a number from 0 to 1")
    return float(value)


def _integer(config: Mapping[str, Any], key: str, where: str, minimum: int = 1, default: int | None = None) -> int:
    value = config.get(key, default)
    if value is None:
        raise CheckpointError(f"{where}: '{key}' is missing")
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise CheckpointError(f"{where}: '{key}' is {value!r}, it must be an integer of at least {minimum}")
    return value
