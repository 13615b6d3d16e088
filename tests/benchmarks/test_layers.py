"""What a layer's time is made of, and its table; nothing is measured."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import layers
import pytest
from intbert.targets import get_target
from layer_bench.models import DEEP, SHALLOW, model_of_depth
from layer_bench.report import layer_table
from layer_bench.rows import LayerRow, layer_times
from peer_bench.contenders import at_precision
from peer_bench.errors import BenchmarkError
from peer_bench.models import Shape
from peer_bench.precisions import PRECISIONS
from peer_bench.ratios import OURS
from peer_bench.rows import Samples
from rich.console import Console


def samples(*milliseconds: float) -> list[Samples]:
    """A turn a run."""
    return [Samples([value / 1e3], cpu_seconds=1.0) for value in milliseconds]


def row(runtime: str, precision: str, p50: float, length: int = 128) -> LayerRow:
    return LayerRow(
        model="minilm", runtime=runtime, precision=precision, length=length, threads=1, p50_ms=p50, min_ms=p50,
        shallow_p50_ms=1.0, deep_p50_ms=1.0 + 2 * p50, runs=10, cosine=0.99,
    )  # fmt: skip


def test_a_layer_is_half_of_the_difference_of_the_medians():
    times = layer_times("torch", samples(1.0, 1.2, 9.0), samples(2.2, 3.2, 3.6))
    assert times["p50_ms"] == pytest.approx(1.0)
    assert times["min_ms"] == pytest.approx(0.6)
    assert (times["shallow_p50_ms"], times["deep_p50_ms"]) == (pytest.approx(1.2), pytest.approx(3.2))


def test_more_layers_that_take_no_longer_are_no_measurement():
    with pytest.raises(BenchmarkError, match="torch: three layers took no longer"):
        layer_times("torch", samples(2.0, 2.0), samples(1.9, 2.0))


def test_the_depths_differ_in_nothing_else():
    assert model_of_depth("bert-base", SHALLOW).shape == Shape(1, 768, 12, 3072)
    assert model_of_depth("bert-base", DEEP).shape == Shape(3, 768, 12, 3072)
    assert model_of_depth("minilm", DEEP).name == "minilm-of-3"


def test_the_best_peer_of_each_length_is_compared_with():
    rows = [row(OURS, "W1A4", 0.25), row("torch", "fp32", 4.0), row("openvino", "fp32", 2.0)]
    console = Console(width=160)
    with console.capture() as capture:
        console.print(layer_table([*rows, row("torch", "fp32", 1.0, length=32), row(OURS, "W8A8", 2.0, length=32)]))
    lines = [line for line in capture.get().splitlines() if OURS in line]
    assert "8.00" in lines[0]
    assert "openvino" in lines[0]
    assert "0.50" in lines[1]
    assert "torch" in lines[1]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_of_ours_is_a_contender(precision: str):
    contender = at_precision(OURS, precision)
    assert contender.name == f"intbert-{precision}"
    assert not contender.is_peer


def test_the_command_line():
    options = layers.parse([])
    assert options.precisions == ["W8A8", "W4A8", "W4A4", "W2A8", "W1A8", "W1A4"]
    assert set(options.runtimes) == {"torch", "onnxruntime", "onnxruntime-unfused", "openvino"}
    assert options.target.name == "host"
    assert layers.parse(["--quick", "--lengths", "32"]).lengths == [32]


def test_for_another_target_peers_take_part_where_they_are_named(monkeypatch: pytest.MonkeyPatch):
    lesser = replace(get_target("host"), name="lesser", features=frozenset())
    monkeypatch.setattr(layers, "get_target", lambda name: lesser if name == "lesser" else get_target(name))
    options = layers.parse(["--target", "lesser"])
    assert options.target is lesser
    assert options.runtimes == []
    assert layers.parse(["--target", "lesser", "--runtimes", "torch"]).runtimes == ["torch"]


def test_eight_bits_are_compared_with():
    console = Console(width=160)
    with console.capture() as capture:
        console.print(layer_table([row(OURS, "W1A4", 0.25), row(OURS, "W8A8", 1.0)]))
    line = next(line for line in capture.get().splitlines() if "W1A4" in line)
    assert "4.00" in line


@pytest.mark.parametrize(
    "arguments",
    [("--models", "gpt"), ("--precisions", "W9A9"), ("--runs", "0"), ("--target", "cuda-sm89"), ("--target", "rpi")],
    ids=" ".join,
)
def test_usage_errors(arguments: tuple[str, str]):
    command = [sys.executable, Path(layers.__file__), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error:" in done.stderr
