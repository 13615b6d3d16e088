"""An integer model against a float one: the comparison, and which operators it names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.artifact import read_manifest
from intbert.compiler.model import Architecture
from intbert.compiler.profile import OperatorTime
from intbert.errors import InputError, ToolchainError
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark import against as subject
from intbert.rpc.benchmark.against import SlowOperator, bench_against, slow_operators
from intbert.rpc.benchmark.float_model import FloatModel
from intbert.rpc.benchmark.float_process import _Server, float_process
from intbert.rpc.telemetry import Conditions

from ...compiler.toy_artifact import build_toy

PLAN = Plan(length=8, batch=2, threads=1, least_runs=3, most_runs=3, warmup=1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "artifact")


def silent(message: str) -> None:
    pass


def times(**ms: float) -> tuple[OperatorTime, ...]:
    names = {name.replace("__", "."): value for name, value in ms.items()}
    return tuple(OperatorTime(name, "kernel", "plain", 1, value) for name, value in names.items())


def test_operators_that_are_slower_than_in_float_the_worst_first() -> None:
    operators = times(layers__0__attention=2.0, layers__1__attention=2.0, layers__0__output=1.5, embeddings=0.1)
    floats = {"layers.0.attention": 1.0, "layers.1.attention": 1.0, "layers.0.output": 1.0, "embeddings": 0.2}
    assert slow_operators(operators, floats) == (
        SlowOperator("layers.*.attention", 4.0, 2.0),
        SlowOperator("layers.*.output", 1.5, 1.0),
    )


def test_what_float_does_in_one_is_one_and_what_it_does_not_do_is_all_too_much() -> None:
    operators = times(layers__0__intermediate=0.5, layers__0__intermediate__gelu=2.0, layers__0__context__quantize=0.1)
    assert slow_operators(operators, {"layers.0.intermediate": 2.0}) == (
        SlowOperator("layers.*.intermediate", 2.5, 2.0),
        SlowOperator("layers.*.context.quantize", 0.1, 0.0),
    )


def test_the_one_that_gains_least_where_none_is_slower() -> None:
    operators = times(layers__0__attention=1.0, layers__0__output=0.5)
    floats = {"layers.0.attention": 1.1, "layers.0.output": 2.0}
    assert slow_operators(operators, floats) == (SlowOperator("layers.*.attention", 1.0, 1.1),)


def test_a_float_model_in_pytorch(toy: Path) -> None:
    result = bench_against(toy, "fp32", PLAN, silent)
    against = result["against"]
    assert (result["runs"], result["length"], result["batch"], result["threads"]) == (3, 8, 2, 1)
    assert [against[name] for name in ("runs", "length", "batch", "threads")] == [3, 8, 2, 1]
    assert against["baseline"] == "fp32"
    assert against["runtime"].startswith("PyTorch ")
    assert against["speedup"] == pytest.approx(against["p50_ms"] / result["p50_ms"])


@dataclass
class Fast:
    """A baseline that takes no time, but for one operator."""

    load_ms: float = 1.0
    where: str = "here"
    runtime: str = "double"

    def measure(self, length: int, batch: int, count: int, seconds: float) -> dict[str, Any]:
        sample = {"ms": 1e-6, **asdict(Conditions(None, None, None, None, None))}
        return {"samples": [sample] * count, "length": length, "threads": 1, "peak_rss_mb": 1.0}

    def operators(self, length: int, batch: int, runs: int) -> dict[str, float]:
        return {"pooled": 1e-6}


def test_a_model_that_is_not_faster_names_its_operators(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def fast(architecture: Architecture, threads: int, length: int, batch: int) -> Iterator[Fast]:
        yield Fast()

    monkeypatch.setattr(subject, "BASELINES", {"double": fast})
    against = bench_against(toy, "double", PLAN, silent)["against"]
    assert against["speedup"] < 1
    (slow,) = against["slow_operators"]
    assert (slow["operator"], slow["baseline_ms"]) == ("pooled", 1e-6)


def test_several_threads_wait_as_is_faster(toy: Path) -> None:
    """Which way that is depends on the machine; either computes."""
    architecture = read_manifest(toy).architecture
    with float_process(architecture, 2, 8, 1) as floats:
        assert floats.measure(8, 1, 2, 1.0)["threads"] == 2
        assert len(floats.operators(8, 1, 2)) == len(FloatModel(architecture).steps)
        assert "temperature_c" in floats.conditions()


def test_a_process_that_ended(toy: Path) -> None:
    with float_process(read_manifest(toy).architecture, 1, 8, 1) as floats:
        floats._process.kill()
        with pytest.raises(ToolchainError, match="the process that runs the float32 model ended"):
            floats.conditions()


def test_a_baseline_that_does_not_exist(toy: Path) -> None:
    with pytest.raises(InputError, match="there is no baseline 'int3'; choose one of fp32"):
        bench_against(toy, "int3", PLAN, silent)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ToolchainError, match=r"needs PyTorch .*; run `pip install 'intbert\[quantize\]'`"):
        _Server({}, 1)
