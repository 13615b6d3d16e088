"""The measuring process, from outside."""

from __future__ import annotations

import pytest
from intbert.compiler.measure import Request, measure
from intbert.errors import ArtifactError, InputError


def test_measurement(toy):
    result = measure(Request(str(toy), length=8, batch=4, threads=2, runs=20, warmup=1))
    assert (result.runs, result.length, result.batch, result.threads) == (20, 8, 4, 2)
    assert (result.target, result.scheme) == ("host", "ibert")
    assert 0 < result.p50_ms <= result.p90_ms <= result.p99_ms
    assert result.artifact_bytes == sum(path.stat().st_size for path in toy.iterdir())
    assert 20 < result.peak_rss_mb < 64


def test_longest_bucket_by_default(toy):
    assert measure(Request(str(toy), runs=1, warmup=0)).length == 16


def test_errors_of_the_child_are_raised_here(toy, tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        measure(Request(str(tmp_path / "nothing")))
    with pytest.raises(InputError, match="largest bucket holds 16"):
        measure(Request(str(toy), length=17))


@pytest.mark.parametrize("field", ["length", "batch", "threads", "runs"])
def test_counts_are_positive(field):
    with pytest.raises(InputError, match=f"{field} is 0"):
        Request("artifact", **{field: 0})


def test_child_that_dies(toy, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ArtifactError, match="the process that ran it failed"):
        measure(Request(str(toy)))
