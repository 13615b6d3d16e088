"""Benchmarks and profiles of an artifact for a GPU, here and through a session: a GPU that is this CPU runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.artifact import read_manifest
from intbert.compiler.model import HeadKind
from intbert.compiler.model_files import save
from intbert.targets import get_target
from intbert.targets.cuda_compilers import Nvrtc, available_compilers

from ...models import tiny_model
from ..tuning.fake_cuda import CandidatesGpu

TARGET = get_target("cuda-sm75")
LENGTH, BATCH = 6, 2
AGAIN = "import sys; os.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])"
"""Only processes that are started there have the emulator's modules: so the one that is started begins anew."""
SCRIPT = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
from intbert.cli.main import app
from intbert.compiler.build import compile_model
from intbert.compiler.cuda import peak
from intbert.compiler.model_files import load
from intbert.compiler.profile import ProfileRequest
from intbert.rpc import peak as rpc_peak
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark.here import bench_here
from intbert.rpc.benchmark.on_device import DeviceBenchmarks
from intbert.rpc.benchmark.sweep import Cell
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.sessions.board_session import Terms
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.sessions.remote_artifact import artifact_on
from intbert.targets import get_target
from typer.testing import CliRunner

# Less of everything: each product is emulated.
peak.ROUNDS, peak.LEAST_COPIED = 1, 1 << 16
rpc_peak.GPU_REQUEST = replace(rpc_peak.GPU_REQUEST, repeats=2, least_ms=0.0)
folder, target, terms = Path(sys.argv[1]), get_target(sys.argv[2]), Terms(Inventory())
artifact = compile_model(load(folder / "model"), target, lengths=[6], batches=[2], output=folder / "artifact")
plan = Plan(length=6, batch=2, warmup=1, least_runs=3, most_runs=3, seconds=30.0)
with DeviceBenchmarks(artifact, terms, boards=Here()) as benchmarks:
    there = benchmarks.measure(Cell(HERE, plan))
with artifact_on(Here().open(HERE, terms), artifact, None, terms) as remote:
    profiled = remote.model.profile(ProfileRequest(6, 2, 2))
    profiled = replace(profiled, peak=rpc_peak.peak_on(remote.model.session, remote.manifest)).to_json()
command = ["profile", str(artifact), "--batch", "2", "--runs", "2"]
shown, printed = (CliRunner().invoke(app, [*command, *more]) for more in ([], ["--json"]))
assert printed.exit_code == 0, printed.output
here = bench_here(artifact, plan)
os.environ["FAKE_GPU_REASONS"] = "0x44"
held_back = bench_here(artifact, plan)
print(json.dumps({
    "there": there, "here": here, "held_back": held_back,
    "profiled": [profiled, json.loads(printed.stdout)], "shown": shown.output,
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not any(isinstance(each, Nvrtc) for each in available_compilers()):
        pytest.skip("NVRTC, whose machine code the artifact holds, is not installed")
    folder = tmp_path_factory.mktemp("model")
    (folder / "model").mkdir()
    save(tiny_model("Bert", HeadKind.MEAN_POOLING), folder / "model")
    return folder


@pytest.fixture(scope="module")
def found(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    assert TARGET.cuda is not None
    gpu = CandidatesGpu(tmp_path_factory.mktemp("gpu"), TARGET.cuda.sm)
    return json.loads(gpu.run(AGAIN, SCRIPT, str(folder), TARGET.name))


@pytest.mark.parametrize("where", ["here", "there"])
def test_latencies(found: dict[str, Any], where: str):
    result = found[where]
    assert (result["target"], result["runs"], result["batch"], result["length"]) == (TARGET.name, 3, BATCH, LENGTH)
    assert 0 < result["p50_ms"] <= result["p99_ms"]


@pytest.mark.parametrize("where", ["here", "there"])
def test_clock_and_temperature_are_those_of_the_gpu(found: dict[str, Any], where: str):
    result = found[where]
    assert result["clock_mhz"] == [1410.0, 1410.0, 1410.0]
    assert result["memory_clock_mhz"] == [9501.0, 9501.0, 9501.0]
    assert result["temperature_c"] == [61.0, 61.0, 61.0]
    assert (result["throttled_runs"], result["throttle_reasons"]) == (0, [])
    assert (result["sensors"]["clock"], result["sensors"]["highest_mhz"]) == ("NVML: clock", 1980.0)


def test_a_gpu_that_is_held_back_is_noticed(found: dict[str, Any]):
    result = found["held_back"]
    assert (result["throttled_runs"], result["runs"]) == (3, 3)
    assert result["throttle_reasons"] == ["hardware thermal slowdown", "power cap"]


@pytest.mark.parametrize("index", [0, 1], ids=["there", "command"])
def test_every_kernel_has_a_time(found: dict[str, Any], folder: Path, index: int):
    profile = found["profiled"][index]
    records = read_manifest(folder / "artifact").strategies
    assert {entry["name"] for entry in profile["operators"]} == {r.operator.partition("/")[2] for r in records}
    assert sum(entry["calls"] for entry in profile["operators"]) == len(records)
    assert all(entry["ms"] > 0 for entry in profile["operators"])
    assert profile["macs"] == sum(record.macs or 0 for record in records)


@pytest.mark.parametrize("index", [0, 1], ids=["there", "command"])
def test_rates_are_parts_of_the_gpus_peak(found: dict[str, Any], index: int):
    profile = found["profiled"][index]
    peak = profile["peak"]
    assert peak["instruction"] == "mma.sync.m8n8k16"
    assert (peak["clock_mhz"], peak["throttled"]) == (1410.0, [])
    assert profile["share_of_peak"] == pytest.approx(profile["gmacs_per_s"] / peak["gmacs"])
    assert profile["share_of_bandwidth"] == pytest.approx(profile["gbytes_per_s"] / peak["gbytes"])


def test_the_table_has_both(found: dict[str, Any]):
    words = " ".join(found["shown"].split())
    assert "GMAC/s of the GPU by mma.sync.m8n8k16 at 1410 MHz, measured" in words
    assert "GB/s read and written by a copy, measured" in words
    assert "of peak" in words
    assert "of bandwidth" in words
    assert "no share of the machine's peak" not in words
