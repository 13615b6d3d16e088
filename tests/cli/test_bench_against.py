"""``intbert bench --against``: what it prints, and when it warns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run

SLOW = [
    {"operator": "layers.*.attention", "ms": 3.0, "baseline_ms": 1.0},
    {"operator": "layers.*.output", "ms": 1.5, "baseline_ms": 1.0},
]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the benchmark comes to; a test may change it."""
    summary = {"p50_ms": 4.0, "p90_ms": 4.5, "p99_ms": 5.0, "runs": 30, "peak_rss_mb": 50.0}
    baseline = {**summary, "p50_ms": 8.0, "baseline": "fp32", "runtime": "PyTorch", "speedup": 2.0}
    result = {
        **summary,
        "throttled_runs": 0,
        "throttle_reasons": [],
        "samples": [],
        "against": {**baseline, "slow_operators": []},
    }
    monkeypatch.setattr("intbert.rpc.benchmark.against.bench_against", lambda artifact, name, plan, tell: result)
    return result


def test_a_faster_model(intbert: Run, found: dict[str, Any], toy: Path) -> None:
    result = intbert("bench", toy, "--against", "fp32")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["speedup", "2.000"] in rows
    assert ["baseline", "fp32"] in rows


def test_a_model_that_is_not_faster(intbert: Run, found: dict[str, Any], toy: Path) -> None:
    found["against"].update(p50_ms=3.0, speedup=0.75, slow_operators=SLOW)
    result = intbert("bench", toy, "--against", "fp32")
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "warning: the model is not faster than its fp32 baseline (4 ms, 3 in fp32); operators to look at: "
        "layers.*.attention (3 ms, 1 in fp32), layers.*.output (1.5 ms, 1 in fp32); "
    )


def test_json_has_it(intbert_json: Callable[..., Any], found: dict[str, Any], toy: Path) -> None:
    assert intbert_json("bench", toy, "--against", "fp32") == found


def test_an_unknown_baseline(intbert: Run, toy: Path) -> None:
    result = intbert("bench", toy, "--against", "int3")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "intbert: there is no baseline 'int3'; choose one of fp32\n"


def test_a_board_has_no_pytorch(intbert: Run, toy: Path) -> None:
    result = intbert("bench", toy, "--against", "fp32", "--device", "pi")
    assert result.exit_code == 2
    assert "--against needs PyTorch" in result.stderr
