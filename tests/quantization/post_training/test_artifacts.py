"""Post-training models of few bits, compiled: split channels and mixed grids return the oracle's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.model import HeadKind
from intbert.quantization.methods import METHODS
from intbert.quantization.request import Calibration, Request

from ...models import tiny_float_model
from ..checkpoints import make_batch
from ..compiled import assert_artifact_returns_the_oracles_bytes

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
    assert_artifact_returns_the_oracles_bytes(quantized, tmp_path)
