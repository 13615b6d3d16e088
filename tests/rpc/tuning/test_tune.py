"""Tuning a tiny model on this machine: the log, going on after an end, and compiling from the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.artifact import Bucket, read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.runtime import load
from intbert.compiler.tuned import TunedSchedules
from intbert.errors import TuningLogError, UnsuitableBoardError
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning.boards import Place
from intbert.rpc.tuning.progress import Progress
from intbert.rpc.tuning.run import tune
from intbert.rpc.tuning.settings import Settings
from intbert.rpc.tuning.verify import verify
from intbert.rpc.tuning.versions import versions
from intbert.schedules.tuning_log import Filter, Record, TuningLog, open_log
from intbert.targets import get_target

from ...models import Size, inputs, tiny_model

BUCKETS = (Bucket(16),)
TRIALS = 40
PLACE = Place(Here(), HERE, wait=0.0)
SETTINGS = Settings(trials=TRIALS, threads=1, round_size=6, repeats=2, least_ms=0.1)


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))


@pytest.fixture(scope="module")
def tuned(model: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Progress]]:
    """A log that was tuned into, and where the run stood at its end."""
    path = tmp_path_factory.mktemp("log") / "tuning.db"
    with open_log(path) as log:
        return path, run(model, log)


def run(model: QuantizedModel, log: TuningLog, settings: Settings = SETTINGS) -> Sequence[Progress]:
    return tune(model, get_target("host"), BUCKETS, log, [PLACE], settings, lambda progress, step: None)


def records(path: Path) -> list[Record]:
    with open_log(path, read_only=True) as log:
        return list(log.records())


def test_every_trial_is_in_the_log(tuned: tuple[Path, Sequence[Progress]]) -> None:
    path, progress = tuned
    logged = records(path)
    assert len({(record.workload.hash, record.strategy, record.trace) for record in logged}) == TRIALS
    assert sum(each.trials for each in progress) == TRIALS
    assert [record.error for record in logged if record.error is not None] == []
    for record in logged:
        assert record.checked_by == "intbert oracle"
        assert (record.threads, record.target, record.device.name) == (1, "host", HERE)
        assert record.features == get_target("host").features
        assert record.versions == versions()
        assert len(record.seconds) == SETTINGS.repeats


def test_every_kernel_has_its_default_and_its_best(tuned: tuple[Path, Sequence[Progress]]) -> None:
    _, progress = tuned
    for each in progress:
        assert each.default is not None
        assert each.best is not None
        assert 0 < each.best <= each.default
        assert 0 <= each.gain < 1


def test_another_run_goes_on_where_the_first_ended(
    model: QuantizedModel, tuned: tuple[Path, Sequence[Progress]]
) -> None:
    path, _ = tuned
    before = records(path)
    with open_log(path) as log:
        assert sum(each.trials for each in run(model, log)) == TRIALS
    assert records(path) == before, "it had nothing left to do"
    with open_log(path) as log:
        more = run(model, log, Settings(trials=TRIALS + 5, threads=1, round_size=6, repeats=2, least_ms=0.1))
        assert sum(each.trials for each in more) == TRIALS + 5
    traces = {(record.workload.hash, record.strategy, record.trace) for record in records(path)}
    assert len(traces) == TRIALS + 5


def test_an_artifact_of_the_logs_schedules_returns_the_oracles_bytes(
    model: QuantizedModel, tuned: tuple[Path, Sequence[Progress]], tmp_path: Path
) -> None:
    path, progress = tuned
    target = get_target("host")
    with open_log(path, read_only=True) as log:
        artifact = compile_model(
            model, target, lengths=[16], output=tmp_path / "tuned", tuned=TunedSchedules(log, target, threads=1)
        )
    manifest = read_manifest(artifact)
    assert all(strategy.tuning_record is not None for strategy in manifest.strategies)
    assert set(manifest.tuning_records) <= {record.id for record in records(path)}
    assert len(manifest.tuning_records) == len(progress)
    tokens = inputs(model, 1, 16)
    expected = oracle.run(model, tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(load(artifact, threads=1).run(tokens.ids, tokens.mask, tokens.types), expected)


def test_without_the_log_all_is_default(model: QuantizedModel, tmp_path: Path) -> None:
    artifact = compile_model(model, get_target("host"), lengths=[16], output=tmp_path / "default")
    manifest = read_manifest(artifact)
    assert {strategy.tuning_record for strategy in manifest.strategies} == {None}
    assert manifest.tuning_records == ()


def test_records_of_another_shape_or_thread_count_are_not_used(
    model: QuantizedModel, tuned: tuple[Path, Sequence[Progress]], tmp_path: Path
) -> None:
    path, _ = tuned
    target = get_target("host")
    with open_log(path, read_only=True) as log:
        for name, lengths, threads in (("shape", [8], 1), ("threads", [16], 7)):
            schedules = TunedSchedules(log, target, threads)
            artifact = compile_model(model, target, lengths=lengths, output=tmp_path / name, tuned=schedules)
            assert {strategy.tuning_record for strategy in read_manifest(artifact).strategies} == {None}, name


def test_a_record_that_does_not_apply_is_told_and_passed_over(
    model: QuantizedModel, tuned: tuple[Path, Sequence[Progress]], tmp_path: Path
) -> None:
    path, _ = tuned
    target = get_target("host")
    victim = records(path)[0]
    with open_log(tmp_path / "broken.db") as log:
        log.add(replace(victim, trace='[[["Nonsense",[],[],[]]],[]]', seconds=(1e-9,), id="0" * 32))
        log.add(replace(victim, strategy="no_such_strategy", seconds=(1e-9,), id="1" * 32))
        told: list[str] = []
        schedules = TunedSchedules(log, target, 1, told.append)
        artifact = compile_model(model, target, lengths=[16], output=tmp_path / "artifact", tuned=schedules)
    assert read_manifest(artifact).tuning_records == ()
    assert len(told) == 2
    assert any("record 00000000" in line and "trace" in line for line in told)
    assert any("record 11111111" in line and "no_such_strategy" in line for line in told)


def test_verifying_measures_the_best_again(model: QuantizedModel, tuned: tuple[Path, Sequence[Progress]]) -> None:
    path, progress = tuned
    target = get_target("host")
    with open_log(path, read_only=True) as log:
        found = verify(model, target, BUCKETS, log, PLACE, sample=3, threads=1)
    assert len(found) == 3
    for each in found:
        assert each.problem is None
        assert each.ratio is not None
        assert each.ratio > 0
    with open_log(path, read_only=True) as log:
        assert len(verify(model, target, BUCKETS, log, PLACE, threads=1)) == len(progress)


def test_a_board_without_the_targets_features_is_refused(model: QuantizedModel, tmp_path: Path) -> None:
    with open_log(tmp_path / "log.db") as log:
        with pytest.raises(UnsuitableBoardError, match=r"this machine is x86_64, rpi4 is aarch64|lacks"):
            tune(model, get_target("rpi4"), BUCKETS, log, [PLACE], SETTINGS, lambda progress, step: None)
        assert log.count(Filter()) == 0


def test_several_thread_counts_need_a_choice(
    model: QuantizedModel, tuned: tuple[Path, Sequence[Progress]], tmp_path: Path
) -> None:
    path, _ = tuned
    target = replace(get_target("host"), cores=64)
    record = next(iter(records(path)))
    with open_log(tmp_path / "log.db") as log:
        log.add_many([replace(record, threads=2, id="2" * 32), replace(record, threads=3, id="3" * 32)])
        with pytest.raises(TuningLogError, match="measured with 2, 3 threads, not with the target's 64"):
            compile_model(model, target, lengths=[16], output=tmp_path / "a", tuned=TunedSchedules(log, target))
