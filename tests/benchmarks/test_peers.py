"""The command line of benchmarks/peers.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers.py"


def peers(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_help_names_the_models_and_runtimes() -> None:
    result = peers("--help")
    assert result.returncode == 0
    for name in ("minilm", "bert-base", "intbert", "onnxruntime", "openvino"):
        assert name in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--models", "gpt"), ("--runtimes", "tflite"), ("--lengths", "0"), ("--lengths", "x"), ("--runs", "0")],
    ids=" ".join,
)
def test_usage_errors(arguments: tuple[str, str]) -> None:
    result = peers(*arguments)
    assert result.returncode == 2
    assert "error:" in result.stderr


def test_too_many_threads_are_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    output = tmp_path / "peers.json"
    result = peers("--threads", str(len(os.sched_getaffinity(0)) + 1), "--output", str(output))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "lower --threads" in result.stderr
    assert not output.exists()
