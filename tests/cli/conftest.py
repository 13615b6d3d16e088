"""The command line without a process of its own, and things to give it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intbert.cli.main import app
from typer.testing import CliRunner, Result

from ..compiler.toy_artifact import build_toy

Run = Callable[..., Result]


@pytest.fixture
def intbert() -> Run:
    """``intbert("run", artifact, "text")``: what the command printed, and its exit code."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def intbert_json(intbert: Run) -> Callable[..., Any]:
    """The document that a command prints under --json, which is all that it prints on stdout."""

    def run(*arguments: object) -> Any:
        result = intbert(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        return json.loads(result.stdout)

    return run


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "artifact")


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    path = tmp_path / "sentences.txt"
    path.write_text("the man plays\na dog runs in the park\n", encoding="utf-8")
    return path
