"""The ratios of a fixed list of rows, and their table."""

import pytest
from peer_bench.ratios import Job, group_by_job, ratios
from peer_bench.report import print_report
from peer_bench.rows import Row
from rich.console import Console


def row(runtime: str, precision: str, p50: float, length: int = 128, cosine: float = 0.99) -> Row:
    return Row(
        model="minilm", runtime=runtime, precision=precision, length=length, batch=1, threads=1,
        p50_ms=p50, p90_ms=p50, min_ms=p50, runs=1, cpu_share=1.0, cosine=cosine,
        cpu="a CPU", features=["avx2"],
    )  # fmt: skip


PEERS = [
    row("onnxruntime", "fp32", 30.0),
    row("onnxruntime-unfused", "fp32", 28.0),
    row("openvino", "fp32", 29.0),
    row("openvino", "bf16", 9.0),
    row("openvino", "int8", 10.0),
    row("onnxruntime", "int8", 14.0),
    row("onnxruntime-unfused", "int8", 13.0),
    row("ctranslate2", "int8", 15.0),
    row("torch", "int8", 16.0),
]


def test_the_fastest_of_each_kind_is_the_opponent() -> None:
    found = {
        ratio.opponent: (ratio.runtime, ratio.times_faster) for ratio in ratios([*PEERS, row("intbert", "int8", 8.0)])
    }
    assert found == {
        "OpenVINO int8": ("openvino", pytest.approx(10.0 / 8.0)),
        "ONNX Runtime int8": ("onnxruntime-unfused", pytest.approx(13.0 / 8.0)),
        "CTranslate2 int8": ("ctranslate2", pytest.approx(15.0 / 8.0)),
        "torch int8": ("torch", pytest.approx(16.0 / 8.0)),
        "best fp32": ("onnxruntime-unfused", pytest.approx(28.0 / 8.0)),
        "best bf16": ("openvino", pytest.approx(9.0 / 8.0)),
    }


def test_bf16_never_counts_as_fp32() -> None:
    found = ratios([row("intbert", "int8", 8.0), row("openvino", "bf16", 9.0)])
    assert [ratio.opponent for ratio in found] == ["best bf16"]


def test_slower_than_a_peer_is_less_than_one() -> None:
    (ratio,) = ratios([row("intbert", "int8", 20.0), row("openvino", "int8", 10.0)])
    assert ratio.times_faster == pytest.approx(0.5)


def test_without_this_project_there_are_no_ratios() -> None:
    assert ratios(PEERS) == []


def test_rows_of_different_jobs_are_not_compared() -> None:
    groups = group_by_job([row("intbert", "int8", 8.0), row("openvino", "int8", 3.0, length=32)])
    assert list(groups) == [Job("minilm", 128, 1, 1), Job("minilm", 32, 1, 1)]
    assert [ratios(group) for group in groups.values()] == [[], []]


def printed(rows: list[Row]) -> str:
    console = Console(width=180)
    with console.capture() as capture:
        print_report(rows, console)
    return capture.get()


def test_the_report_shows_latencies_and_ratios() -> None:
    text = printed([*PEERS, row("intbert", "int8", 8.0)])
    for expected in ("28.00", "1.25 (openvino)", "3.50 (onnxruntime-unfused)", "CPU: a CPU (avx2)"):
        assert expected in text
    assert "hardly the same job" not in text


def test_a_row_whose_output_is_off_is_marked() -> None:
    text = printed([row("openvino", "int8", 1.0, cosine=0.85)])
    assert "0.8500 !" in text
    assert "hardly the same job" in text
