"""A worker process, from start to end, with NumPy as its runtime."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from peer_bench.contenders import Contender
from peer_bench.environment import worker_environment
from peer_bench.errors import BenchmarkError
from peer_bench.machine import cpus_for
from peer_bench.measure import Entry, Plan, measure
from peer_bench.models import MODELS
from peer_bench.process import WorkerProcess
from peer_bench.workers.serve import Spec, cosine

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks"
COMMAND = [sys.executable, str(HERE / "matrix_worker.py")]


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    inputs = tmp_path / "inputs.npz"
    ids = {f"ids_{length}": np.full((1, length), 3, dtype=np.int64) for length in (4, 16)}
    references = {
        "reference_4": np.array([1.0, 1.0, 1.0, 1.0]),
        "reference_16": np.array([1.0, 1.0, 0.0, 0.0]),
    }
    np.savez(inputs, allow_pickle=False, **ids, **references)
    return Spec("", str(inputs), "int8", threads=1, cpus=cpus_for(1), lengths=[4, 16])


def start(spec: Spec, folder: Path) -> WorkerProcess:
    return WorkerProcess("matrix", COMMAND, spec, folder, worker_environment(BENCHMARKS, 1))


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_a_worker_measures_when_asked_and_stands_still_otherwise(spec: Spec, tmp_path: Path) -> None:
    with start(spec, tmp_path / "logs") as worker:
        assert worker.cosine == {"4": pytest.approx(1.0), "16": pytest.approx(np.sqrt(0.5))}
        assert worker.versions == {"numpy": np.__version__}
        for length in (4, 16, 4):
            samples = worker.measure(length, runs=5, warm_up=2)
            assert len(samples.seconds) == 5
            assert min(samples.seconds) > 0
            assert samples.cpu_seconds > 0
            status = status_of(worker.pid)
            assert status["State"].startswith("T")
            assert status["Cpus_allowed_list"] == str(spec.cpus[0])
        pid = worker.pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_worker_that_cannot_load_says_why(spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"worker matrix ended \(1\): this precision is not supported \(see .*\)"):
        start(replace(spec, precision="unknown"), tmp_path / "logs")


def test_a_worker_that_gets_an_unknown_length_ends_with_its_error(spec: Spec, tmp_path: Path) -> None:
    with start(spec, tmp_path / "logs") as worker, pytest.raises(BenchmarkError, match="KeyError: 5"):
        worker.measure(5, runs=1, warm_up=0)


def test_a_plan_gives_a_row_for_every_contender_and_length(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)  # where `python -m` finds the worker
    contenders = [Contender(name, "int8", "matrix_worker", "") for name in ("first", "second")]
    entries = [Entry(contender, Path(sys.executable), tmp_path) for contender in contenders]
    plan = Plan(MODELS["minilm"], entries, Path(spec.inputs), spec.lengths, threads=1, runs=12)
    advanced: list[int] = []
    rows = measure(plan, tmp_path / "logs", BENCHMARKS, lambda what, runs: advanced.append(runs))
    assert [(row.runtime, row.length) for row in rows] == [
        ("first", 4),
        ("second", 4),
        ("first", 16),
        ("second", 16),
    ]
    assert {row.runs for row in rows} == {12}
    assert sum(advanced) == 4 * 12
    assert rows[2].cosine == pytest.approx(np.sqrt(0.5), abs=1e-6)


def test_cosine_ignores_a_common_factor() -> None:
    vector = np.array([[1.0, -2.0, 3.0]])
    assert cosine(5 * vector, vector) == pytest.approx(1.0)
    assert cosine(-vector, vector) == pytest.approx(-1.0)
