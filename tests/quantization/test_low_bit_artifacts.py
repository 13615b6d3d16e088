"""Models of few bits, compiled: the artifact returns the oracle's bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from intbert.compiler.model import QuantizedModel
from intbert.quantization.methods import get_method
from intbert.quantization.mkqbert import with_int4_layers
from intbert.quantization.training.learned import LearnedQuantization
from intbert.quantization.training.learned_activations import least_squares
from intbert.quantization.training.mkq_scale import least_squares_scale

from ..models import Size
from .compiled import assert_artifact_returns_the_oracles_bytes
from .test_binarybert import untrained_binary
from .training.tiny_task import export_untrained, tiny_task

SIZE = Size(hidden=32, layers=1, heads=2, intermediate=64)


def _mkqbert(folder: Path) -> QuantizedModel:
    model, _ = tiny_task(folder, SIZE)
    scheme = with_int4_layers(get_method("mkqbert").scheme, model.architecture, [0])
    quantization = LearnedQuantization(model.architecture, scheme, least_squares_scale, least_squares)
    return export_untrained(model, scheme, quantization)[1]


def _binarybert(folder: Path) -> QuantizedModel:
    return untrained_binary(tiny_task(folder, SIZE)[0], 4)[1]


MODELS = {
    "mkqbert": _mkqbert,
    "binarybert W1A4": _binarybert,
}


@pytest.mark.parametrize("name", MODELS)
def test_the_artifact_returns_the_oracles_bytes(tmp_path: Path, name: str) -> None:
    integer = MODELS[name](tmp_path)
    assert_artifact_returns_the_oracles_bytes(integer, tmp_path)
