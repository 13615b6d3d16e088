"""``intbert profile`` on this machine; on a board: test_devices.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.artifact import MANIFEST_FILE
from intbert.compiler.profile import GpuPeak, ThreadPeak

from ..compiler.toy_artifact import BUCKETS, build_toy
from .conftest import Run


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A toy whose manifest says what its operator is."""
    folder = build_toy(tmp_path / "named")
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    record = {"strategy": "plain", "rejected": [], "macs": 1000, "bytes": 64}
    manifest["strategies"] = [{"operator": f"{bucket.function}/layers.0.sum", **record} for bucket in BUCKETS]
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return folder


def test_document(intbert_json: Callable[..., Any], named: Path) -> None:
    document = intbert_json("profile", named, "--length", 8, "--batch", 4, "--threads", 1, "--runs", 3)
    (operator,) = document["operators"]
    assert (operator["name"], operator["kernel"], operator["strategy"]) == ("layers.0.sum", "pooled1", "plain")
    assert operator["calls"] == 1
    assert operator["share"] == pytest.approx(operator["ms"] / document["total_ms"])
    assert operator["ms"] + document["outside_ms"] == pytest.approx(document["total_ms"])
    assert document["total_ms"] + document["instrumentation_ms"] == pytest.approx(document["instrumented_ms"])
    kept = {name: document[name] for name in ("device", "length", "batch", "threads", "runs")}
    assert kept == {"device": "this machine", "length": 8, "batch": 4, "threads": 1, "runs": 3}
    assert (operator["macs"], operator["bytes"]) == (document["macs"], document["bytes"]) == (1000, 64)
    assert operator["gmacs_per_s"] == pytest.approx(1000 / operator["ms"] / 1e6)
    assert document["peak"] is None
    assert "its features name no int8 multiply-add" in document["no_peak_because"]


def test_the_share_of_the_peak(
    intbert: Run, intbert_json: Callable[..., Any], named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intbert.rpc.peak.peak_here", lambda manifest: ThreadPeak("sdot", 0.5))
    document = intbert_json("profile", named, "--threads", 1, "--runs", 2)
    assert document["no_peak_because"] is None
    assert document["peak"] == {"instruction": "sdot", "gmacs": 0.5, "all_threads_gmacs": 0.5}
    (operator,) = document["operators"]
    assert operator["share_of_peak"] == pytest.approx(operator["gmacs_per_s"] / 0.5)
    shown = intbert("profile", named, "--runs", 2).stdout
    assert "of peak" in shown
    assert "0.5 GMAC/s a thread by sdot, measured" in shown


def test_what_a_gpu_reached_while_it_was_held_back(intbert: Run, named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = GpuPeak("dp4a", 7.5, 20.0, None, ("power cap",))
    monkeypatch.setattr("intbert.rpc.peak.peak_here", lambda manifest: found)
    shown = " ".join(intbert("profile", named, "--runs", 2).stdout.split())
    assert "7.5 GMAC/s of the GPU by dp4a, measured, while its clock was held back (power cap)" in shown
    assert "20.0 GB/s read and written by a copy, measured, while" in shown


@pytest.mark.parametrize(
    ("options", "name"), [([], "layers.*.sum"), (["--layers"], "layers.0.sum")], ids=["together", "layers"]
)
def test_table(intbert: Run, named: Path, options: list[str], name: str) -> None:
    result = intbert("profile", named, "--runs", 2, *options)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    (row,) = [line for line in lines if line[:1] == [name]]
    assert (row[1], row[2], row[-1]) == ("pooled2", "1", "plain")
    assert any(line[:3] == ["outside", "the", "operators"] for line in lines)
    (total,) = [line for line in lines if line[:1] == ["total"]]
    assert "100.0%" in total
    assert "of peak" not in result.stdout
    assert "of bandwidth" not in result.stdout
    assert result.stderr.startswith("no share of the machine's peak: host: its features name")
    assert any(line[:1] == ["uninstrumented_p50_ms"] for line in lines)


def test_a_length_that_no_bucket_holds(intbert: Run, toy: Path) -> None:
    result = intbert("profile", toy, "--length", 99)
    assert result.exit_code == 1
    assert result.stderr == "intbert: 99 tokens, the artifact's largest bucket holds 16\n"
    assert result.stdout == ""


@pytest.mark.parametrize("option", ["--length", "--batch", "--runs"])
def test_counts_start_at_one(intbert: Run, toy: Path, option: str) -> None:
    assert intbert("profile", toy, option, 0).exit_code == 2
