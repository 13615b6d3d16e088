"""Models of few bits, compiled: the artifact returns the oracle's bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.model import QuantizedModel, load, save
from intbert.compiler.runtime import load as load_artifact
from intbert.quantization.methods import get_method
from intbert.quantization.mkqbert import with_int4_layers
from intbert.quantization.training.learned import LearnedQuantization
from intbert.quantization.training.learned_activations import least_squares
from intbert.quantization.training.mkq_scale import least_squares_scale
from intbert.targets import get_target

from ..models import Size, inputs
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
    (tmp_path / "quantized").mkdir()
    save(integer, tmp_path / "quantized")
    artifact = load_artifact(
        compile_model(load(tmp_path / "quantized"), get_target("host"), lengths=[16], output=tmp_path / "artifact")
    )
    tokens = inputs(integer, 3, 11, seed=1)
    compiled = artifact.run(tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(compiled, oracle.run(integer, tokens.ids, tokens.mask, tokens.types))
    assert np.unique(compiled).size > 3
