"""Benchmarks and profiles of an artifact for a GPU, here and through a session: a GPU that is this CPU runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler.artifact import read_manifest
from intbert.compiler.build import compile_model, kernel_source
from intbert.compiler.model import HeadKind
from intbert.targets import get_target

from ...cuda.emulation import build
from ...cuda.fake_gpu import FakeGpu, build_driver
from ...models import tiny_model

TARGET = get_target("cuda-sm75")
LENGTH, BATCH = 6, 2
SCRIPT = """
import json, sys
from pathlib import Path
from intbert.cli.main import app
from intbert.compiler.profile import ProfileRequest
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark.here import bench_here
from intbert.rpc.benchmark.on_device import DeviceBenchmarks
from intbert.rpc.benchmark.sweep import Cell
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.sessions.board_session import Terms
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.sessions.remote_artifact import artifact_on
from typer.testing import CliRunner

artifact, terms = Path(sys.argv[1]), Terms(Inventory())
plan = Plan(length=6, batch=2, warmup=1, least_runs=3, most_runs=3, seconds=30.0)
with DeviceBenchmarks(artifact, terms, boards=Here()) as benchmarks:
    there = benchmarks.measure(Cell(HERE, plan))
with artifact_on(Here().open(HERE, terms), artifact, None, terms) as remote:
    profiled = remote.model.profile(ProfileRequest(6, 2, 2)).to_json()
command = CliRunner().invoke(app, ["profile", str(artifact), "--batch", "2", "--runs", "2", "--json"])
assert command.exit_code == 0, command.output
here = bench_here(artifact, plan)
print(json.dumps({"there": there, "here": here, "profiled": [profiled, json.loads(command.stdout)]}))
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifact")
    model = tiny_model("Bert", HeadKind.MEAN_POOLING)
    return compile_model(model, TARGET, lengths=[LENGTH], batches=[BATCH], output=folder / "artifact")


@pytest.fixture(scope="module")
def found(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("gpu")
    source = kernel_source(tiny_model("Bert", HeadKind.MEAN_POOLING), TARGET, lengths=[LENGTH], batches=[BATCH])
    printed = FakeGpu(build_driver(folder)).run(SCRIPT, str(artifact), kernels=build(source, folder))
    return json.loads(printed)


@pytest.mark.parametrize("where", ["here", "there"])
def test_latencies(found: dict[str, Any], where: str):
    result = found[where]
    assert (result["target"], result["runs"], result["batch"], result["length"]) == (TARGET.name, 3, BATCH, LENGTH)
    assert 0 < result["p50_ms"] <= result["p99_ms"]


@pytest.mark.parametrize("index", [0, 1], ids=["there", "command"])
def test_every_kernel_has_a_time(found: dict[str, Any], artifact: Path, index: int):
    profile = found["profiled"][index]
    records = read_manifest(artifact).strategies
    assert {entry["name"] for entry in profile["operators"]} == {r.operator.partition("/")[2] for r in records}
    assert sum(entry["calls"] for entry in profile["operators"]) == len(records)
    assert all(entry["ms"] > 0 for entry in profile["operators"])
    assert profile["macs"] == sum(record.macs or 0 for record in records)
    assert profile["peak"] is None


def test_a_gpus_peak_is_not_measured(found: dict[str, Any]):
    assert "the peak of a GPU is not measured" in found["profiled"][1]["no_peak_because"]
