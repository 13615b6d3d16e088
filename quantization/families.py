"""Where each family keeps its tensors: canonical name -> the names in Hugging Face checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..compiler.model import Architecture, Family, HeadKind

_BERT_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}

_DISTILBERT_LAYER = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
    "output_norm": "output_layer_norm",
}

_EMBEDDINGS = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.token_type": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
}

_BARE = {HeadKind.NONE: {}, HeadKind.MEAN_POOLING: {}}
_PER_TOKEN = {
    HeadKind.TOKEN_CLASSIFICATION: {"head.classifier": "classifier"},
    HeadKind.QUESTION_ANSWERING: {"head.classifier": "qa_outputs"},
}


@dataclass(frozen=True)
class FamilyNames:
    """The module names of one family. A name that starts with ``{base}`` lies inside the bare model."""

    base: str
    """The bare model's attribute in a model with a head: ``bert.embeddings...``."""
    layer: str
    """The module of encoder layer ``i``."""
    layer_modules: Mapping[str, str]
    heads: Mapping[HeadKind, Mapping[str, str]]
    decoder_bias: str
    """The masked LM bias that lies beside the decoder (Hugging Face ties the decoder's own bias to it)."""


FAMILIES: Mapping[Family, FamilyNames] = {
    Family.BERT: FamilyNames(
        base="bert",
        layer="encoder.layer",
        layer_modules=_BERT_LAYER,
        heads={
            **_BARE,
            **_PER_TOKEN,
            HeadKind.SEQUENCE_CLASSIFICATION: {
                "head.pooler": "{base}pooler.dense",
                "head.classifier": "classifier",
            },
            HeadKind.MASKED_LM: {
                "head.transform": "cls.predictions.transform.dense",
                "head.transform_norm": "cls.predictions.transform.LayerNorm",
                "head.decoder": "cls.predictions.decoder",
            },
        },
        decoder_bias="cls.predictions.bias",
    ),
    Family.ROBERTA: FamilyNames(
        base="roberta",
        layer="encoder.layer",
        layer_modules=_BERT_LAYER,
        heads={
            **_BARE,
            **_PER_TOKEN,
            HeadKind.SEQUENCE_CLASSIFICATION: {
                "head.pooler": "classifier.dense",
                "head.classifier": "classifier.out_proj",
            },
            HeadKind.MASKED_LM: {
                "head.transform": "lm_head.dense",
                "head.transform_norm": "lm_head.layer_norm",
                "head.decoder": "lm_head.decoder",
            },
        },
        decoder_bias="lm_head.bias",
    ),
    Family.DISTILBERT: FamilyNames(
        base="distilbert",
        layer="transformer.layer",
        layer_modules=_DISTILBERT_LAYER,
        heads={
            **_BARE,
            **_PER_TOKEN,
            HeadKind.SEQUENCE_CLASSIFICATION: {
                "head.pooler": "pre_classifier",
                "head.classifier": "classifier",
            },
            HeadKind.MASKED_LM: {
                "head.transform": "vocab_transform",
                "head.transform_norm": "vocab_layer_norm",
                "head.decoder": "vocab_projector",
            },
        },
        decoder_bias="vocab_projector.bias",
    ),
}

# transformers names classes after the family; these are the prefixes of `architectures` in config.json.
_CLASS_PREFIXES = {Family.BERT: "Bert", Family.ROBERTA: "Roberta", Family.DISTILBERT: "DistilBert"}
_CLASS_SUFFIXES = {
    "Model": HeadKind.NONE,
    "ForSequenceClassification": HeadKind.SEQUENCE_CLASSIFICATION,
    "ForTokenClassification": HeadKind.TOKEN_CLASSIFICATION,
    "ForQuestionAnswering": HeadKind.QUESTION_ANSWERING,
    "ForMaskedLM": HeadKind.MASKED_LM,
}


def head_kinds(family: Family) -> dict[str, HeadKind]:
    """The supported transformers classes of ``family`` and the head each has."""
    return {_CLASS_PREFIXES[family] + suffix: kind for suffix, kind in _CLASS_SUFFIXES.items()}


def bare_tensor(name: str, base: str) -> str:
    """The Hugging Face name of the embedding table ``name``."""
    return f"{base}{_EMBEDDINGS[name]}.weight"


def candidates(architecture: Architecture, canonical: str, base: str, tied: bool) -> list[str]:
    """The Hugging Face names, best first, of the tensor with the canonical name ``canonical``.

    ``base`` is the prefix of the bare model's tensors (``"bert."``, or empty); ``tied`` says whether the
    masked LM decoder shares the word embedding table.
    """
    names = FAMILIES[architecture.family]
    module, _, kind = canonical.rpartition(".")
    if module == "head.decoder":
        own = f"{names.heads[HeadKind.MASKED_LM][module]}.{kind}"
        shared = bare_tensor("embeddings.word", base) if kind == "weight" else names.decoder_bias
        # Hugging Face ties after loading, so in a tied model the shared tensor wins over a stale copy.
        return [shared, own] if tied else [own, names.decoder_bias] if kind == "bias" else [own]
    if module in _EMBEDDINGS:
        found = base + _EMBEDDINGS[module]
    elif module.startswith("layers."):
        _, layer, name = module.split(".")
        found = f"{base}{names.layer}.{layer}.{names.layer_modules[name]}"
    else:
        found = names.heads[architecture.head.kind][module].format(base=base)
    # Checkpoints converted from TensorFlow keep its names of the layer normalization's parameters.
    legacy = {"gamma": "weight", "beta": "bias"}
    return [f"{found}.{legacy[kind]}", f"{found}.{kind}"] if kind in legacy else [f"{found}.{kind}"]
