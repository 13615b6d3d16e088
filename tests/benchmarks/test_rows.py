"""The rows of peers.json: their fields, their invariants, their statistics."""

import json
from pathlib import Path
from typing import Any

import pytest
from peer_bench.rows import Row, Samples, latencies, ratio_of_turns, write_rows

FIELDS: dict[str, Any] = {
    "model": "minilm", "runtime": "openvino", "precision": "int8", "length": 128, "batch": 1, "threads": 1,
    "p50_ms": 10.0, "p90_ms": 11.0, "min_ms": 9.0, "runs": 100, "cpu_share": 0.98, "cosine": 0.99,
    "cpu": "a CPU", "features": ["avx2"], "versions": {"openvino": "1"}, "to_ours": 1.25,
}  # fmt: skip


def test_file_is_a_list_of_rows_with_every_field(tmp_path: Path) -> None:
    path = tmp_path / "new" / "peers.json"
    write_rows([Row(**FIELDS), Row(**{**FIELDS, "length": 32})], path)
    assert json.loads(path.read_text()) == [FIELDS, {**FIELDS, "length": 32}]
    assert [file.name for file in path.parent.iterdir()] == ["peers.json"]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text("old")
    write_rows([], path)
    assert json.loads(path.read_text()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 0},
        {"threads": 0},
        {"runs": 0},
        {"p50_ms": 0.0, "min_ms": 0.0},
        {"p90_ms": 9.5},
        {"min_ms": 10.5},
        {"p50_ms": float("nan")},
        {"p90_ms": float("inf")},
    ],
    ids=lambda wrong: ",".join(f"{name}={value}" for name, value in wrong.items()),
)
def test_impossible_figures_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="row minilm/openvino"):
        Row(**{**FIELDS, **wrong})


def test_statistics_are_over_all_samples() -> None:
    seconds = [0.001 * value for value in (5, 1, 4, 2, 3, 100, 6, 7, 8, 9, 10)]
    turns = [Samples(seconds[:4], cpu_seconds=0.1), Samples(seconds[4:], cpu_seconds=0.055)]
    expected = {"p50_ms": 6.0, "p90_ms": 10.0, "min_ms": 1.0, "runs": 11, "cpu_share": 0.5}
    assert latencies(turns, threads=2) == expected


def test_a_ratio_of_turns_does_not_see_what_slows_a_whole_round() -> None:
    theirs = [Samples([2.0, 2.2, 9.0], 1.0), Samples([20.0, 22.0, 21.0], 1.0), Samples([2.4], 1.0)]
    ours = [Samples([1.0, 1.0, 1.1], 1.0), Samples([10.0, 10.0, 50.0], 1.0), Samples([1.0], 1.0)]
    assert ratio_of_turns(theirs, ours) == pytest.approx(2.2)
