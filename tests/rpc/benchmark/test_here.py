"""The measuring process, from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from intbert.errors import ArtifactError, InputError
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark.here import bench_here

from ...compiler.toy_artifact import build_toy

ONCE = Plan(least_runs=1, most_runs=1, warmup=0)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "artifact")


def test_measurement(toy: Path) -> None:
    result = bench_here(toy, Plan(length=8, batch=4, threads=2, least_runs=20, most_runs=20, warmup=1))
    assert [result[name] for name in ("runs", "length", "batch", "threads")] == [20, 8, 4, 2]
    assert (result["device"], result["target"], result["scheme"]) == ("this machine", "host", "ibert")
    assert 0 < result["p50_ms"] <= result["p90_ms"] <= result["p99_ms"]
    assert result["artifact_bytes"] == sum(path.stat().st_size for path in toy.iterdir())
    assert result["load_ms"] > 0
    assert 20 < result["peak_rss_mb"] < 64


def test_longest_bucket_by_default(toy: Path) -> None:
    assert bench_here(toy, ONCE)["length"] == 16


def test_errors_of_the_child_are_raised_here(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        bench_here(tmp_path / "nothing", ONCE)
    with pytest.raises(InputError, match="largest bucket holds 16"):
        bench_here(toy, Plan(length=17))


def test_child_that_dies(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ArtifactError, match="the process that ran it failed"):
        bench_here(toy, ONCE)
