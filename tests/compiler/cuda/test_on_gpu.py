"""Whole models on a real GPU, where `nvidia-smi` finds one: the bytes of the oracle."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.runtime import load
from intbert.targets import Target, get_target
from intbert.targets.cuda import ARCHITECTURES
from intbert.targets.features import X86_64, host_arch

from ...models import inputs, tiny_model
from ..test_mixed_lowering import mixed_model


def compute_capability() -> int | None:
    """87 for 8.7; None without a GPU."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return int(found[0].replace(".", "")) if found else None


@pytest.fixture(scope="module")
def target() -> Target:
    sm = compute_capability()
    if sm is None:
        pytest.skip("nvidia-smi finds no GPU")
    suitable = [known for known in ARCHITECTURES if known <= sm]
    if not suitable:
        pytest.skip(f"compute capability {sm / 10} is older than all that are known")
    known = get_target("cuda-sm75" if host_arch() == X86_64 else "cuda-sm75-aarch64")
    assert known.cuda is not None
    return replace(known, cuda=replace(known.cuda, sm=max(suitable)))


MODELS: dict[str, Callable[[], QuantizedModel]] = {
    "mean-pooling": lambda: tiny_model("Bert", HeadKind.MEAN_POOLING),
    "classification": lambda: tiny_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION),
    "float-dynamic": lambda: mixed_model("Roberta", HeadKind.SEQUENCE_CLASSIFICATION, "dynamic"),
    "float-rounded": lambda: mixed_model("Bert", HeadKind.MEAN_POOLING, "rounded everywhere"),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_oracles_bytes(target: Target, make: Callable[[], QuantizedModel], tmp_path: Path):
    quantized = make()
    model = load(compile_model(quantized, target, lengths=[6, 16], batches=[1, 4], output=tmp_path / "artifact"))
    for batch, length in ((1, 6), (4, 16), (5, 9)):
        tokens = inputs(quantized, batch, length, seed=batch)
        expected = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types)
        for _ in range(3):
            result = model.run(tokens.ids, tokens.mask, tokens.types)
            np.testing.assert_array_equal(result, expected)
