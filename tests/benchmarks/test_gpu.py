"""The benchmark of GPUs without one: what it finds, prepares and prints; nothing is measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gpu
import pytest
from gpu_bench.card import target_for
from gpu_bench.contenders import OUR_CONTENDER, PEERS, available_runtimes, peers_of
from gpu_bench.prepare import at_precisions, plan_of
from gpu_bench.report import ratio_table
from gpu_bench.watch import Watch
from intbert.compiler.runtime import driver
from intbert.compiler.runtime.driver import FoundGpu
from intbert.rpc.telemetry import Conditions, Sensors
from layer_bench.measure import LayerPlan
from layer_bench.rows import LayerRow
from peer_bench.errors import BenchmarkError
from peer_bench.measure import Plan, Progress
from peer_bench.models import MODELS
from peer_bench.ratios import OURS
from peer_bench.rows import Row
from peer_bench.workspace import Workspace
from rich.console import Console

T4 = FoundGpu("Tesla T4", 75, (13, 0))


def row(runtime: str, precision: str, p50: float, to_ours: float, length: int = 128, batch: int = 8) -> Row:
    return Row(
        model="minilm", runtime=runtime, precision=precision, length=length, batch=batch, threads=1, p50_ms=p50,
        p90_ms=p50, min_ms=p50, runs=10, cpu_share=1.0, cosine=0.99, to_ours=to_ours,
    )  # fmt: skip


@pytest.mark.parametrize(("sm", "chosen"), [(75, 75), (87, 87), (100, 90), (120, 110)])
def test_the_target_is_of_the_cards_chip(sm: int, chosen: int):
    target = target_for(FoundGpu("a card", sm, (12, 6)))
    assert target.cuda is not None
    assert (target.cuda.sm, target.cuda.driver, target.name) == (chosen, (12, 6), f"card-sm{chosen}")


def test_a_card_that_is_too_old():
    with pytest.raises(BenchmarkError, match=r"a card \(sm_35, driver of CUDA 12\.0\) is older than every chip"):
        target_for(FoundGpu("a card", 35, (12, 0)))


def test_without_a_card_nothing_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(driver, "DRIVER", "libcuda-that-nobody-has.so.1")
    monkeypatch.setattr(gpu, "run", lambda *arguments: pytest.fail("it went on"))
    assert gpu.main([]) == gpu.NO_CARD
    told = capsys.readouterr().err
    assert told.startswith(
        "bench-gpu: nothing was measured: that needs an NVIDIA card, this machine has no NVIDIA driver"
    )
    assert told.count("\n") == 1


def test_peers_are_those_that_find_the_card(monkeypatch: pytest.MonkeyPatch):
    import onnxruntime
    import torch

    providers = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert available_runtimes() == {"tensorrt", "torch-cuda"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    providers[0] = "CUDAExecutionProvider"
    assert available_runtimes() == {"onnxruntime-cuda"}
    assert [peer.precision for peer in peers_of({"torch-cuda"})] == ["fp16", "fp32"]


def test_each_worker_gets_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    compiled: list[Any] = []
    monkeypatch.setattr("gpu_bench.prepare.quantized_model", lambda workspace, model, precision: precision.name)

    def deploy(model: str, target: Any, *, output: Path, lengths: Sequence[int], batches: Sequence[int]) -> None:
        compiled.append((model, target.name, lengths, batches))
        output.mkdir()

    monkeypatch.setattr("gpu_bench.prepare.deploy", deploy)
    monkeypatch.setattr(Workspace, "onnx", lambda self, model: tmp_path)
    (tmp_path / "exported.onnx").touch()
    monkeypatch.setattr(Workspace, "inputs_made_here", lambda self, model, length: tmp_path / f"{length}.npz")
    monkeypatch.setattr(Workspace, "checkpoint", lambda self, model: tmp_path / model.name)
    workspace, every = Workspace(tmp_path, tmp_path), [*at_precisions(OUR_CONTENDER, ["W8A8", "W4A8"]), *PEERS]
    plan = plan_of(workspace, MODELS["minilm"], every, (32, 8), target_for(T4), runs=5)
    assert (plan.batch, plan.lengths, plan.inputs, plan.runs) == (8, [32], tmp_path / "32.npz", 5)
    assert compiled == [(precision, "card-sm75", [32], [8]) for precision in ("W8A8", "W4A8")]
    models = {entry.contender.name: entry.model for entry in plan.entries}
    assert models["torch-cuda-fp16"] == tmp_path / "minilm"
    assert models["onnxruntime-cuda-fp32"] == tmp_path / "exported.onnx"
    assert models["tensorrt-fp16"].parent.name == "tensorrt"
    assert models["tensorrt-fp16"].is_file()


def test_every_job_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def plan(workspace: Any, model: Any, contenders: Any, shape: tuple[int, int], target: Any, runs: int) -> Any:
        length, batch = shape
        assert OUR_CONTENDER.runtime in {contender.runtime for contender in contenders}
        return Plan(model, [], Path(), [length], 1, runs, batch)

    def measure(plan: Plan, logs: Path, root: Path, progress: Progress) -> list[Row]:
        progress("measuring", plan.runs)
        (length,) = plan.lengths
        return [
            row(OURS, "W8A8", 2.0, 1.0, length, plan.batch),
            row("torch-cuda", "fp16", 5.0, 2.5, length, plan.batch),
        ]

    def layers(plan: LayerPlan, logs: Path, progress: Progress) -> list[LayerRow]:
        common = {"threads": 1, "shallow_p50_ms": 1.0, "deep_p50_ms": 3.0, "runs": 5, "cosine": 0.9}
        names = ((OURS, "W8A8", 1.0), (OURS, "W4A8", 0.5), ("torch-cuda", "fp32", 8.0))
        return [
            LayerRow(model=plan.model, runtime=name, precision=bits, length=128, p50_ms=ms, min_ms=ms, **common)
            for name, bits, ms in names
        ]

    for name, replacement in (("plan_of", plan), ("measure", measure), ("measure_layers", layers)):
        monkeypatch.setattr(gpu, name, replacement)
    monkeypatch.setattr(gpu, "available_runtimes", lambda: frozenset({"torch-cuda"}))
    output = tmp_path / "gpu.json"
    options = ["--models", "minilm", "--layers", "minilm", "--batches", "1,8", "--output", str(output)]
    assert gpu.main(options, find=lambda needs: T4) == 0
    rows = json.loads(output.read_text())
    shapes = {(each["length"], each["batch"]) for each in rows if "batch" in each}
    assert shapes == {(32, 1), (32, 8), (128, 1), (128, 8)}
    assert {each["cpu"] for each in rows} == {str(T4)}
    printed = capsys.readouterr().out
    assert "8 rows and 3 of layers" in printed
    assert "clock: unknown; temperature: unknown; held back: the card cannot tell" in printed
    assert "16.00" in printed, "the 4-bit layer, times faster than that in float32"


def test_the_cards_clock_is_watched():
    readings = iter(
        Conditions(clock, 60.0, reasons, None, None)
        for clock, reasons in ((300.0, ()), (1410.0, ()), (1980.0, ()), (1200.0, ("power cap",)))
    )

    class Told(Sensors):
        def read(self) -> Conditions:
            return next(readings)

    heard: list[tuple[str, int]] = []
    watch = Watch(lambda what, runs: heard.append((what, runs)), Told())
    for turn in (("loading", 0), ("measuring", 10), ("measuring", 10)):
        watch(*turn)
    assert heard == [("loading", 0), ("measuring", 10), ("measuring", 10)]
    assert watch.summary() == (
        "clock: 1200 to 1980 MHz, median 1590; temperature: 60 to 60 degrees C, median 60; "
        "held back: 1 of 2 turns (power cap)"
    )


def test_ratios_are_of_the_rounds():
    table = ratio_table([row(OURS, "W8A8", 2.0, 1.0), row("torch-cuda", "fp16", 5.0, 2.6)])
    console = Console(width=120)
    with console.capture() as printed:
        console.print(table)
    assert "2.60" in printed.get()


@pytest.mark.parametrize("options", [["--runs", "0"], ["--lengths", "2"], ["--models", "gpt"]], ids=str)
def test_options_are_checked(options: list[str]):
    with pytest.raises(SystemExit):
        gpu.parse(options)
