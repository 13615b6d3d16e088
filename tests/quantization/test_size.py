"""How much smaller models are, at the sizes of real ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler.model import Activation, Architecture, Family, Head, HeadKind, QuantizedModel
from intbert.compiler.model_files import save
from intbert.quantization.export import export
from intbert.quantization.float_model import FloatModel
from intbert.quantization.integers import activation
from intbert.quantization.methods import get_method
from intbert.quantization.scheme import Granularity, Scheme
from intbert.quantization.size import bits_reduction, float_bits, stored_bits
from intbert.quantization.structure import tensor_shapes, wide_activations

MINILM = Architecture(
    Family.BERT, 384, 6, 12, 1536, 30522, 512, 0, 2, 0, Activation.GELU,
    Head(HeadKind.SEQUENCE_CLASSIFICATION, Activation.TANH, ("negative", "positive")),
)  # fmt: skip
BERT_BASE = replace(MINILM, hidden=768, layers=12, intermediate=3072)


def exported(architecture: Architecture, scheme: Scheme) -> QuantizedModel:
    """A model of these sizes; its values do not matter."""
    ones = {name: np.broadcast_to(np.float32(1), shape) for name, shape in tensor_shapes(architecture).items()}
    activations = {
        name: activation(1.0, scheme.bits_of_activation(architecture, name)) for name in wide_activations(architecture)
    }
    return export(FloatModel(architecture, ones, 1e-12, "sizes"), scheme, activations)


def test_stored_bits_are_those_of_the_file(tmp_path: Path) -> None:
    tiny = replace(MINILM, hidden=24, layers=1, heads=3, intermediate=40, vocabulary=50, positions=16)
    for bits in (2, 3, 8):
        scheme = get_method("kdlsq").customized(weight_bits=bits, embedding_bits=bits)
        model = exported(tiny, scheme)
        folder = tmp_path / str(bits)
        folder.mkdir()
        save(model, folder)
        file = (folder / "model.safetensors").read_bytes()
        header = 8 + int.from_bytes(file[:8], "little")
        assert stored_bits(model) == 8 * (len(file) - header)


def test_the_float_model_counts_every_tensor() -> None:
    assert float_bits(MINILM) == 32 * 22_713_986


@pytest.mark.parametrize(("architecture", "least"), [(BERT_BASE, 14.9), (MINILM, 14.4)], ids=["bert-base", "minilm"])
def test_kdlsq_of_2_bits(architecture: Architecture, least: float) -> None:
    scheme = get_method("kdlsq").customized(weight_bits=2, embedding_bits=2, granularity=Granularity.TENSOR)
    reduction = bits_reduction(architecture, exported(architecture, scheme))
    assert least <= reduction < 16
