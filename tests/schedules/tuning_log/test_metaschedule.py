"""MetaSchedule's files in and out, and MetaSchedule's search on a log. Its own JSONDatabase says what is right."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tvm
from intbert.errors import OutputError, TuningLogError
from intbert.schedules.tuning_log import Filter, Record, open_log
from intbert.schedules.tuning_log.log import TuningLog
from intbert.schedules.tuning_log.metaschedule import (
    RECORDS_FILE,
    WORKLOADS_FILE,
    Exported,
    LogDatabase,
    Origin,
    export_database,
    features_of,
    import_database,
)
from intbert.schedules.tuning_log.workload import structural_hash, workload_of
from intbert.targets import get_target, list_targets
from tvm import te
from tvm.s_tir import Schedule, meta_schedule

from .samples import PI, START, TVM, VERSIONS, failed, record

PI4 = get_target("rpi4")
ORIGIN = Origin(PI, VERSIONS, PI4, "addition", "scalar", START)


def module(size: int = 64) -> tvm.IRModule:
    A = te.placeholder((size,), "int32", name="A")
    return tvm.IRModule({"main": te.create_prim_func([A, te.compute((size,), lambda i: A[i] + 1, name="B")])})


def trace(size: int = 64, inner: int = 8) -> Any:
    schedule = Schedule(module(size))
    loop = schedule.get_loops(schedule.get_sblock("B"))[0]
    tiles = schedule.sample_perfect_tile(loop, 2, decision=[size // inner, inner])
    schedule.vectorize(schedule.split(loop, tiles)[1])
    return schedule.trace


def text_of(trace: Any) -> str:
    return json.dumps(trace.as_json(), default=int)  # TVM's integers are no Python ones


def of_log(seconds: float, inner: int = 8, **changed: Any) -> Record:
    text = text_of(trace(64, inner))
    return record(seconds, workload=workload_of(module(), "addition", "64"), trace=text, **changed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What MetaSchedule wrote: two workloads, three candidates that ran, one that did not."""
    path = tmp_path / "metaschedule"
    path.mkdir()
    database = meta_schedule.database.JSONDatabase(work_dir=str(path))
    for size, inner, seconds in ((64, 8, [2e-3, 1e-3]), (64, 16, [3e-3]), (128, 8, [5e-3]), (64, 4, [1e10])):
        workload = database.commit_workload(module(size))
        arguments = meta_schedule.arg_info.ArgInfo.from_entry_func(module(size), remove_preproc=False)
        made = meta_schedule.database.TuningRecord(trace(size, inner), workload, seconds, PI4.tvm(), arguments)
        database.commit_tuning_record(made)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TuningLog]:
    with open_log(tmp_path / "log.db") as opened:
        yield opened


def test_import(log: TuningLog, folder: Path) -> None:
    result = import_database(log, folder, ORIGIN)
    assert (result.new, result.known, result.bad) == (4, 0, 0)
    hashes = {size: structural_hash(module(size)) for size in (64, 128)}
    assert {w.hash for w in log.workloads("addition")} == set(hashes.values())
    assert {w.shape for w in log.workloads()} == {"int32 64, int32 64", "int32 128, int32 128"}
    records = list(log.records())
    assert sorted(each.seconds for each in records) == [(), (2e-3, 1e-3), (3e-3,), (5e-3,)]
    assert {each.features for each in records} == {PI4.features}
    assert {(each.threads, each.target, each.device, each.tuned_at) for each in records} == {(4, "rpi4", PI, START)}
    # Nobody vouched for the outputs.
    assert log.best(hashes.values(), features=PI4.features, tvm=TVM, threads=4) == {}
    assert log.count(Filter(outcome="failed")) == 1
    for workload in log.workloads():
        assert structural_hash(tvm.ir.load_json(workload.ir)) == workload.hash
    assert import_database(log, folder, ORIGIN).known == 4


def test_import_of_what_somebody_vouches_for(log: TuningLog, folder: Path) -> None:
    origin = Origin(PI, VERSIONS, PI4, "addition", "scalar", START, threads=2, checked_by="the colleague")
    import_database(log, folder, origin)
    best = log.best([structural_hash(module())], features=PI4.features, tvm=TVM, threads=2)
    assert [each.seconds for each in best.values()] == [(2e-3, 1e-3)]
    assert log.count(Filter(outcome="failed")) == 1


def test_the_same_line_twice_is_two_measurements(log: TuningLog, folder: Path) -> None:
    path = folder / RECORDS_FILE
    path.write_text(path.read_text() * 2)
    assert import_database(log, folder, ORIGIN).new == 8
    assert import_database(log, folder, ORIGIN).known == 8


def damage(path: Path, place: int, line: str) -> None:
    lines = path.read_text().splitlines()
    lines[place] = line
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("file", "line", "reason", "lost"),
    [
        (RECORDS_FILE, "[0,[[[", "no JSON", 1),
        (RECORDS_FILE, "[0]", "no list of 2", 1),
        (RECORDS_FILE, "{}", "no list of 2", 1),
        (RECORDS_FILE, "[7,[[],[1],{},[]]]", "there is no workload 7", 1),
        (RECORDS_FILE, "[0,[[],[1]]]", "no list of 4", 1),
        (RECORDS_FILE, '[0,[[],[1],{"kind":"cuda"},[]]]', "cuda for aarch64, has no features of ours", 1),
        (RECORDS_FILE, '[0,[[],[1],{"kind":"llvm","mtriple":"riscv64-linux-gnu"},[]]]', "has no features of ours", 1),
        (RECORDS_FILE, '[0,[[],["1"],{"kind":"llvm"},[]]]', "a sample of the record is '1'", 1),
        (RECORDS_FILE, '[0,[[],[-1],{"kind":"llvm"},[]]]', "a sample of the record is -1", 1),
        (RECORDS_FILE, '[0,[[],[1],{"kind":"llvm","num-cores":0},[]]]', "the record's threads is 0", 1),
        (WORKLOADS_FILE, '["1","!"]', "no module in base64", 3),
        (WORKLOADS_FILE, '["1","AA=="]', "no module in base64", 3),
        (WORKLOADS_FILE, '["1","CQAAAAAAAAB7fQ=="]', "the module is cut off", 3),
        (WORKLOADS_FILE, '["1","AgAAAAAAAAB7fQ=="]', "this TVM cannot read the module", 3),
    ],
)
def test_bad_lines_are_passed_over(log: TuningLog, folder: Path, file: str, line: str, reason: str, lost: int) -> None:
    damage(folder / file, 0, line)
    with pytest.raises(TuningLogError, match="nothing was imported"):
        import_database(log, folder, ORIGIN, strict=True)
    assert log.count() == 0
    result = import_database(log, folder, ORIGIN)
    assert result.new == 4 - lost
    assert reason in result.examples[0].reason
    assert (result.examples[0].file, result.examples[0].number) == (str(folder / file), 1)


def test_no_such_folder(log: TuningLog, tmp_path: Path) -> None:
    with pytest.raises(TuningLogError, match=r"database_workload\.json cannot be read"):
        import_database(log, tmp_path, ORIGIN)


def test_export_is_what_metaschedule_reads(log: TuningLog, tmp_path: Path) -> None:
    best, other = of_log(1e-3), of_log(2e-3, 16)
    broken = record(3e-3, workload=best.workload, trace='[[["GetSBlock",[],["no such block","main"],["b0"]]],[]]')
    left = [
        of_log(1e-6, checked_by=None),
        of_log(1e-6, source="estimated"),
        of_log(1e-6, features=frozenset({"neon", "dotprod"})),
    ]
    bad = failed(workload=best.workload, trace=other.trace)
    log.add_many([best, other, broken, *left, bad])
    assert export_database(log, tmp_path / "out", PI4) == Exported(written=3, left_out=1)
    database = meta_schedule.database.JSONDatabase(work_dir=str(tmp_path / "out"), allow_missing=False)
    assert len(database) == 3
    assert database.has_workload(module())
    found = database.query_tuning_record(module(), PI4.tvm(), "main")
    assert [float(value) for value in found.run_secs] == [1e-3]
    assert text_of(found.trace) == best.trace
    assert str(found.target) == str(PI4.tvm())
    with pytest.raises(OutputError, match="exists already"):
        export_database(log, tmp_path / "out", PI4)


def test_out_and_in_again(log: TuningLog, folder: Path, tmp_path: Path) -> None:
    origin = Origin(PI, VERSIONS, PI4, "addition", "scalar", START, checked_by="oracle")
    import_database(log, folder, origin)
    export_database(log, tmp_path / "out", PI4)
    with open_log(tmp_path / "other.db") as other:
        import_database(other, tmp_path / "out", origin)
        both = [
            sorted((r.workload.hash, r.seconds, json.loads(r.trace), r.features) for r in each.records())
            for each in (log, other)
        ]
    assert both[0] == both[1]


@pytest.mark.parametrize(
    "target",
    [target for target in list_targets() if target.cuda is None],  # the log knows CPUs only
    ids=lambda target: target.name,
)
def test_features_are_those_that_the_preset_declares(target: Any) -> None:
    assert features_of(json.dumps(dict(target.tvm().export()), default=list)) == target.features


def test_features_of_a_cpu_by_name() -> None:
    target = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a76"}
    assert features_of(json.dumps(target)) == {"neon", "dotprod"}
    with pytest.raises(TuningLogError, match="LLVM refuses"):
        features_of(json.dumps({**target, "num-cores": "many"}))


def test_the_search_sees_what_suits(log: TuningLog) -> None:
    best, slower = of_log(1e-3), of_log(2e-3, 16)
    bad = failed(workload=best.workload, trace=slower.trace)
    broken = record(1e-6, workload=best.workload, trace='[[["GetSBlock",[],["no such block","main"],["b0"]]],[]]')
    unseen = [of_log(1e-6, threads=4), of_log(1e-6, features=frozenset({"sve"})), of_log(1e-6, checked_by=None)]
    log.add_many([slower, best, bad, broken, *unseen])
    database = LogDatabase(log, PI4, TVM, 1)
    assert database.has_workload(module())
    assert not database.has_workload(module(128))
    workload = database.commit_workload(module())
    assert database.commit_workload(module()).same_as(workload)
    top = database.get_top_k(workload, 3)
    assert [[float(value) for value in each.run_secs] for each in top] == [[1e-3], [2e-3]]
    assert len(database) == 4
    assert len(database.get_all_tuning_records()) == 3
    assert database.query_tuning_record(module(), PI4.tvm(), "main").run_secs[0].value == 1e-3


def test_what_the_search_commits(log: TuningLog) -> None:
    def record_of(made: Any) -> Record | None:
        seconds = [float(value) for value in made.run_secs]
        return of_log(seconds[0]) if seconds[0] > 1e-3 else None

    workload = LogDatabase(log, PI4, TVM, 1).commit_workload(module())
    for seconds in (1e-3, 2e-3):
        made = meta_schedule.database.TuningRecord(trace(), workload, [seconds], PI4.tvm(), [])
        LogDatabase(log, PI4, TVM, 1).commit_tuning_record(made)
        LogDatabase(log, PI4, TVM, 1, record_of).commit_tuning_record(made)
    assert [each.seconds for each in log.records()] == [(2e-3,)]


def test_a_search_on_a_log(log: TuningLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """MetaSchedule itself, with a runner that measures nothing: everything that it tries is in the log afterwards."""
    # TuneContext imports TVM's own intrinsics, half a minute of work, to no purpose here.
    monkeypatch.setitem(sys.modules, "tvm.s_tir.tensor_intrin", ModuleType("tvm.s_tir.tensor_intrin"))

    def space(schedule: Schedule) -> None:
        loop = schedule.get_loops(schedule.get_sblock("B"))[0]
        schedule.split(loop, schedule.sample_perfect_tile(loop, 2, max_innermost_factor=64))

    drawn: list[Record] = []

    def record_of(made: Any) -> Record:
        fields = {"workload": workload_of(module(), "addition", "64"), "trace": text_of(made.trace)}
        drawn.append(record(float(made.run_secs[0]), **fields))
        return drawn[-1]

    target = PI4.tvm()
    database = LogDatabase(log, PI4, TVM, 1, record_of)
    context = meta_schedule.TuneContext(
        mod=module(),
        target=target,
        space_generator=meta_schedule.space_generator.ScheduleFn(space, sch_rules=[], postprocs=[], mutator_probs={}),
        search_strategy=meta_schedule.search_strategy.EvolutionarySearch(population_size=8, init_measured_ratio=0.5),
        num_threads=1,
        rand_state=1,
    )
    context.pre_tuning(8, 4, context.generate_design_space(), database, meta_schedule.cost_model.RandomModel())
    workload = database.commit_workload(module())
    while (candidates := context.generate_measure_candidates()) is not None:
        results = []
        for place, candidate in enumerate(candidates):
            seconds = [1e-3 * (1 + place)]
            made = meta_schedule.database.TuningRecord(
                candidate.sch.trace, workload, seconds, target, candidate.args_info
            )
            database.commit_tuning_record(made)
            results.append(meta_schedule.runner.RunnerResult(seconds, None))
        context.notify_runner_results(candidates, results)
    context.post_tuning()
    assert len(drawn) >= 4
    assert sorted(r.id for r in log.records()) == sorted(r.id for r in drawn)
    assert len(database.get_top_k(workload, 100)) == len(drawn)
