"""The command line of benchmarks/peers.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers import parse

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers.py"


def peers(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def test_help_names_the_models_and_runtimes() -> None:
    result = peers("--help")
    assert result.returncode == 0
    for name in ("minilm", "bert-base", "intbert", "onnxruntime", "openvino", "ctranslate2", "torch"):
        assert name in result.stdout


def test_quick_is_a_slice_that_may_be_changed() -> None:
    quick = parse(["--quick", "--runtimes", "intbert,torch", "--threads", "2"])
    assert (quick.models, quick.lengths, quick.batches, quick.threads) == (["minilm"], [128], [1], [2])
    assert quick.runtimes == ["intbert", "torch"]
    assert parse([]).lengths == [16, 32, 128, 384]


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
