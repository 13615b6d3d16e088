"""Tuning by estimates: with a machine that checks what candidates compute, and without any."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from intbert.compiler.artifact import Bucket, read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.estimation import Meter
from intbert.compiler.estimation.meters import InstructionMeter
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.tuned import TunedSchedules
from intbert.rpc.on_board.kernels import Request
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning.arguments import Arguments
from intbert.rpc.tuning.boards import Place
from intbert.rpc.tuning.build import Builder
from intbert.rpc.tuning.estimating import NO_BOARD, EstimatingBench
from intbert.rpc.tuning.interruption import Interruption
from intbert.rpc.tuning.progress import Progress
from intbert.rpc.tuning.result import Machine, Measured
from intbert.rpc.tuning.run import tune
from intbert.rpc.tuning.settings import Settings
from intbert.schedules.tuning_log import Record, open_log
from intbert.schedules.tuning_log.record import ESTIMATED, MEASURED
from intbert.targets import get_target
from intbert.targets.features import host_arch

from ...models import Size, tiny_model
from .conftest import NewBench
from .kernels import EXPECTED, adding_one, crashing, kernel, unbuildable

TRIALS = 14
METER = InstructionMeter()
ELSEWHERE = "x86-64-v3" if host_arch() == "aarch64" else "rpi4"
"""A target whose code does not run here."""


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))


def run(model: QuantizedModel, path: Path, target: str, places: Sequence[Place]) -> Sequence[Progress]:
    settings = Settings(trials=TRIALS, threads=1, round_size=4)
    with open_log(path) as log:
        machine = get_target(target)
        return tune(model, machine, [Bucket(8)], log, places, settings, lambda progress, step: None, METER)


def records(path: Path) -> list[Record]:
    with open_log(path, read_only=True) as log:
        return list(log.records())


@pytest.fixture(scope="module")
def checked(model: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of estimates for this machine, which checked every candidate."""
    path = tmp_path_factory.mktemp("log") / "tuning.db"
    found = run(model, path, "host", [Place(Here(), HERE, wait=0.0)])
    assert sum(each.trials for each in found) == TRIALS
    return path


def test_records_say_that_they_are_estimates(checked: Path) -> None:
    found = records(checked)
    assert len({(record.workload.hash, record.strategy, record.trace) for record in found}) == len(found) == TRIALS
    for record in found:
        assert (record.source, record.error, record.checked_by) == (ESTIMATED, None, "intbert oracle")
        assert (record.device.name, record.device.model) == (NO_BOARD, METER.name)


def test_another_run_goes_on_where_the_first_ended(model: QuantizedModel, checked: Path) -> None:
    before = records(checked)
    run(model, checked, "host", [Place(Here(), HERE, wait=0.0)])
    assert records(checked) == before


def test_compiling_tells_which_records_are_estimates(model: QuantizedModel, checked: Path, tmp_path: Path) -> None:
    target = get_target("host")
    with open_log(checked, read_only=True) as log:
        tuned = TunedSchedules(log, target, 1)
        artifact = compile_model(model, target, lengths=[8], output=tmp_path / "artifact", tuned=tuned)
    used = set(read_manifest(artifact).tuning_records)
    assert used
    assert tuned.estimated == used


def test_a_measurement_outranks_every_estimate(model: QuantizedModel, checked: Path, tmp_path: Path) -> None:
    target = get_target("host")
    with open_log(tmp_path / "both.db") as log, open_log(checked, read_only=True) as estimates:
        log.merge(estimates)
        slow = [replace(each, source=MEASURED, seconds=(1.0,), id=f"{n:032x}") for n, each in enumerate(log.records())]
        log.add_many(slow)
        tuned = TunedSchedules(log, target, 1)
        artifact = compile_model(model, target, lengths=[8], output=tmp_path / "artifact", tuned=tuned)
    assert set(read_manifest(artifact).tuning_records) <= {record.id for record in slow}
    assert tuned.estimated == set()


def test_without_a_machine_that_checks_nothing_is_used(model: QuantizedModel, tmp_path: Path) -> None:
    path, target, told = tmp_path / "tuning.db", get_target(ELSEWHERE), []
    found = run(model, path, ELSEWHERE, [])
    assert sum(each.trials for each in found) == TRIALS
    assert all(each.best is not None for each in found)
    before = records(path)
    assert {(record.source, record.checked_by) for record in before} == {(ESTIMATED, None)}
    run(model, path, ELSEWHERE, [])
    assert records(path) == before
    with open_log(path, read_only=True) as log:
        tuned = TunedSchedules(log, target, 1, told.append)
        artifact = compile_model(model, target, lengths=[8], output=tmp_path / "artifact", tuned=tuned)
    assert read_manifest(artifact).tuning_records == ()
    (line,) = told
    assert "its unchecked records of this model are not used" in line


def test_a_machine_that_checks_says_what_candidates_compute(
    builder: Builder, new_bench: NewBench, one: Arguments, interruption: Interruption
) -> None:
    found: dict[int, Measured] = {}

    def heard(index: int, measured: Measured, machine: Machine | None) -> None:
        assert machine is not None
        assert machine.name == NO_BOARD
        found[index] = measured

    meter: Meter = METER
    bench = EstimatingBench(builder, get_target("host"), meter, new_bench(1), interruption)
    functions = [adding_one(), unbuildable(), crashing(), kernel(lambda x, i: x[i] + 2)]
    bench.measure(functions, one, Request(outputs=1, threads=1, repeats=3, least_ms=50.0), heard)
    right = hashlib.sha256(EXPECTED.tobytes()).hexdigest()
    assert [found[index].error is None for index in range(4)] == [True, False, False, True]
    assert [found[index].sha256 == right for index in range(4)] == [True, False, False, False]
    assert len(found[0].seconds) == 1
