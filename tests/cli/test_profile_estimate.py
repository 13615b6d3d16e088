"""``intbert profile --estimate``: text, JSON, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intbert.cli.profile_estimate import CAUTION
from intbert.compiler.model import HeadKind
from intbert.compiler.model_files import save

from ..models import tiny_model
from .conftest import Run


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantized")
    save(tiny_model("Bert", HeadKind.MEAN_POOLING), folder)
    return folder


def test_a_models_document(intbert_json: Callable[..., Any], quantized: Path):
    options = ("--target", "jetson-orin", "--estimate", "--length", 6, "--batch", 2)
    document = intbert_json("profile", quantized, *options)
    assert (document["source"], document["caution"]) == ("estimated", CAUTION)
    assert document["gpu"] == {"sm": 87, "multiprocessors": 8, "clock_mhz": 918, "bandwidth_gbs": 102.4, "driver": None}
    assert document["buckets"] == [{"length": 6, "batch": 2}]
    assert document["peak"]["multiplier"] == "imma"
    assert sum(kernel["share"] for kernel in document["kernels"]) == pytest.approx(1)
    for kernel in document["kernels"]:
        limits = [kernel[f"{limit}_ms"] for limit in ("memory", "compute", "issue", "shared")]
        assert kernel["ms"] == max(limit for limit in limits if limit is not None)
        assert kernel["intensity"] == kernel["macs"] / kernel["bytes"]
        assert kernel["share_of_peak"] == pytest.approx(kernel["macs"] / kernel["ms"] / 1e6 / document["peak"]["gmacs"])


@pytest.mark.parametrize(("options", "name"), [([], "layers.*.output"), (["--layers"], "layers.0.output")])
def test_table(intbert: Run, quantized: Path, options: list[str], name: str):
    result = intbert("profile", quantized, "-t", "jetson-orin", "--estimate", "--length", 6, *options)
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    (row,) = [row for row in rows if row[:1] == [name]]
    assert row[1].endswith("_kernel")
    assert row[-1] == "mma_k32"
    assert any(row[:1] == ["total"] and "100.0%" in row for row in rows)
    assert "8 multiprocessors at 918 MHz" in result.stdout
    assert result.stderr.splitlines()[-1] == CAUTION


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--estimate", "--target", "rpi4"], "rpi4 runs the operators on a CPU"),
        (["--estimate"], "name with --target the GPU"),
        (["--estimate", "--target", "jetson-orin", "--length", "99"], "length 99 exceeds the model's 24 positions"),
    ],
    ids=["cpu", "no-target", "too-long"],
)
def test_one_line_says_what_to_do(intbert: Run, quantized: Path, options: list[str], words: str):
    result = intbert("profile", quantized, *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("intbert: ")]
    assert words in line


def test_a_cpus_artifact_is_refused(intbert: Run, toy: Path):
    result = intbert("profile", toy, "--estimate")
    assert result.exit_code == 1
    assert "the artifact for host runs the operators on a CPU" in result.stderr


@pytest.mark.parametrize("options", [["--estimate", "--device", "pi"], ["--target", "jetson-orin"]], ids=str)
def test_options_that_do_not_belong_together(intbert: Run, toy: Path, options: list[str]):
    assert intbert("profile", toy, *options).exit_code == 2
