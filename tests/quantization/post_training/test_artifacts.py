"""Post-training models of few bits, compiled: split channels and mixed grids return the oracle's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind, load, save
from intbert.compiler.runtime import load as load_artifact
from intbert.quantization.methods import METHODS
from intbert.quantization.request import Calibration, Request
from intbert.targets import get_target

from ...models import inputs, tiny_float_model
from ..checkpoints import make_batch

CASES: dict[str, dict[str, Any]] = {
    "aciq": {"weight_bits": 4, "activation_bits": 4},
    "ocs": {"weight_bits": 3},
    "brecq": {"weight_bits": 2, "embedding_bits": 4},
}


@pytest.mark.parametrize("name", CASES)
def test_the_artifact_returns_the_oracles_bytes(tmp_path: Path, name: str):
    method = METHODS[name]
    given: dict[str, Any] = {"ocs": {"ratio": 0.1}, "brecq": {"iterations": 3}}.get(name, {})
    model = tiny_float_model("Bert", HeadKind.MEAN_POOLING)
    calibration = Calibration([make_batch(0, (16, 9, 4, 1), seed=number) for number in range(3)])
    quantized = method.quantize(
        Request(model, method.customized(**CASES[name]), method.parse_options(given), calibration)
    )
    (tmp_path / "quantized").mkdir()
    save(quantized, tmp_path / "quantized")
    artifact = load_artifact(
        compile_model(load(tmp_path / "quantized"), get_target("host"), lengths=[16], output=tmp_path / "artifact")
    )
    tokens = inputs(quantized, 3, 11, seed=1)
    compiled = artifact.run(tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(compiled, oracle.run(quantized, tokens.ids, tokens.mask, tokens.types))
    assert np.unique(compiled).size > 3
