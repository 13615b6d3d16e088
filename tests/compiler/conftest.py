"""Artifacts and models that are made once; a test that alters one takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from intbert.compiler.model import HeadKind, QuantizedModel

from .. import models
from .toy_artifact import build_toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sums embedding rows: [batch, 4]."""
    return build_toy(tmp_path_factory.mktemp("toy") / "artifact")


@pytest.fixture(scope="session")
def token_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedding rows themselves: [batch, length, 4]."""
    return build_toy(tmp_path_factory.mktemp("token-toy") / "artifact", HeadKind.NONE)


@pytest.fixture
def toy_copy(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "copy"))


@pytest.fixture(scope="session")
def minilm() -> QuantizedModel:
    """all-MiniLM-L6-v2, quantized."""
    return models.minilm()
