"""A quantized model, saved, read again and compiled: its artifact returns the oracle's bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.model import QuantizedModel
from intbert.compiler.model_files import load, save
from intbert.compiler.runtime import load as load_artifact
from intbert.targets import get_target

from ..models import inputs


def assert_artifact_returns_the_oracles_bytes(model: QuantizedModel, folder: Path) -> None:
    """On random tokens, padding among them; ``folder`` takes the files."""
    (folder / "quantized").mkdir()
    save(model, folder / "quantized")
    artifact = load_artifact(
        compile_model(load(folder / "quantized"), get_target("host"), lengths=[16], output=folder / "artifact")
    )
    tokens = inputs(model, 3, 11, seed=1)
    compiled = artifact.run(tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(compiled, oracle.run(model, tokens.ids, tokens.mask, tokens.types))
    assert np.unique(compiled).size > 3
