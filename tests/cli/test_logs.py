"""``intbert logs``, on a small log."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from intbert.cli.main import app
from intbert.schedules.tuning_log import Device, Record, Versions, open_log
from intbert.targets import get_target
from typer.testing import CliRunner, Result

from ..schedules.tuning_log.samples import START, TVM, failed, record, workload

Run = Callable[..., Result]
Document = Callable[..., Any]

FAST = record(1e-3, at=0, id="a" * 32, threads=4)
SLOW = record((2e-3, 3e-3, 2e-3), at=60, id="b" * 32, threads=4)
BROKEN = failed("the compiler crashed", at=120, id="c" * 32, workload=workload(1, "gelu"))


@pytest.fixture(autouse=True)
def no_log_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTBERT_LOG", raising=False)
    monkeypatch.setenv("COLUMNS", "300")


def make(path: Path, *records: Record) -> Path:
    with open_log(path) as log:
        log.add_many(records)
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return make(tmp_path / "log.db", FAST, SLOW, BROKEN)


def refusal(run: Run, *arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    return line


def test_list(intbert: Run, intbert_json: Document, log: Path) -> None:
    listed = intbert_json("logs", "list", "--log", log)
    assert [each["id"] for each in listed["records"]] == [FAST.id, SLOW.id, BROKEN.id]
    assert listed["in_all"] == 3
    result = intbert("logs", "list", "--log", log, "--limit", 2)
    assert FAST.id[:8] not in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["bbbbbbbb", "cccccccc"]
    assert "the compiler crashed" in result.stdout
    assert "2000.0" in result.stdout
    assert "the newest 2 of 3" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--operator", "gelu"], "c"),
        (["--workload", "000000000000000"], "abc"),
        (["--outcome", "usable"], "ab"),
        (["--since", "2030-01-31T12:01:00"], "bc"),
        (["--since", "2030-02-01"], ""),
        (["--device", "nano"], ""),
        (["--target", "rpi4", "--strategy", "dotprod", "--outcome", "failed"], "c"),
    ],
    ids=" ".join,
)
def test_list_filters(intbert_json: Document, log: Path, arguments: list[str], expected: str) -> None:
    assert (
        "".join(each["id"][0] for each in intbert_json("logs", "list", "--log", log, *arguments)["records"]) == expected
    )


def test_the_log_may_come_from_the_environment(
    intbert_json: Document, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTBERT_LOG", f"sqlite:///{log}")
    assert intbert_json("logs", "list")["in_all"] == 3


def test_without_a_log(intbert: Run) -> None:
    result = intbert("logs", "list")
    assert result.exit_code == 2
    assert "--log" in result.stderr


def test_show(intbert: Run, intbert_json: Document, log: Path) -> None:
    shown = intbert_json("logs", "show", "--log", log, "bb")
    assert shown["seconds"] == [2e-3, 3e-3, 2e-3]
    assert (shown["median_seconds"], shown["usable"], shown["ir"]) == (2e-3, True, workload().ir)
    result = intbert("logs", "show", "--log", log, "bb")
    for part in (
        "2000.000, 3000.000, 2000.000",
        "Raspberry Pi 4 Model B",
        "1500 MHz",
        "51.2 C",
        "ondemand",
        "GetSBlock",
    ):
        assert part in result.stdout
    assert "no record's id begins with 'dd'; `intbert logs list` has the ids" in refusal(
        intbert, "logs", "show", "--log", log, "dd"
    )


def test_best(intbert: Run, intbert_json: Document, log: Path) -> None:
    arguments = ("logs", "best", "--log", log, "--target", "rpi4")
    assert [each["id"] for each in intbert_json(*arguments)["records"]] == [FAST.id]
    assert intbert_json(*arguments, "--threads", 1)["records"] == []
    assert intbert_json(*arguments, "--tvm", "0.28")["records"] == []
    assert intbert_json(*arguments, "--operator", "gelu")["records"] == []
    result = intbert(*arguments)
    assert "1000.0" in result.stdout
    assert "1 of 2 workloads have no record" in result.stderr


def test_diff_of_two_logs(intbert: Run, intbert_json: Document, log: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other.db", record(5e-4, threads=4), record(1e-3, threads=1))
    pairs = intbert_json("logs", "diff", log, other)["pairs"]
    assert [(pair["threads"], pair["ratio"], pair["first"] is None) for pair in pairs] == [
        (1, None, True),
        (4, 0.5, False),
    ]
    result = intbert("logs", "diff", log, other)
    assert "only in the second" in result.stdout
    assert "1 in both (median of second / first: 0.500), 0 only in the first, 1 only in the second" in result.stdout
    swapped = intbert("logs", "diff", other, log)
    assert "1 in both (median of second / first: 2.000), 1 only in the first, 0 only in the second" in swapped.stdout


def test_diff_of_two_releases(intbert_json: Document, intbert: Run, log: Path) -> None:
    make(log, record(3e-3, threads=4, versions=Versions("0.28", "1", "1", "1")))
    for arguments in ((log, "--tvm", f"{TVM},0.28"), ("--log", log, "--tvm", f"{TVM}, 0.28")):
        (pair,) = intbert_json("logs", "diff", *arguments)["pairs"]
        assert pair["ratio"] == 3.0
    for arguments in ((log,), (log, log, "--tvm", "1,2"), (log, "--tvm", "1"), ("--tvm", "1,2"), ()):
        result = intbert("logs", "diff", *arguments)
        assert result.exit_code == 2
        assert "give two logs" in result.stderr


def test_merge(intbert: Run, intbert_json: Document, log: Path, tmp_path: Path) -> None:
    others = [make(tmp_path / "1.db", FAST, record()), make(tmp_path / "2.db", record())]
    assert intbert_json("logs", "merge", "--log", log, *others) == {"new": 2, "known": 1}
    assert "0 records added, 3 were there already" in intbert("logs", "merge", "--log", log, *others).stdout
    assert "there is no tuning log" in refusal(intbert, "logs", "merge", "--log", log, tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()


def test_prune_asks_first(intbert: Run, intbert_json: Document, log: Path) -> None:
    arguments = ["logs", "prune", "--log", str(log), "--keep", "1"]
    for answer in ("n\n", ""):
        result = CliRunner().invoke(app, arguments, input=answer)
        assert result.exit_code == 1
        assert "to be deleted: 2 of 3 records" in result.stdout
        assert "delete 2 records of" in result.stderr
        assert intbert_json("logs", "list", "--log", log)["in_all"] == 3
    result = CliRunner().invoke(app, arguments, input="y\n")
    assert "2 records deleted, 1 kept" in result.stdout
    assert [each["id"] for each in intbert_json("logs", "list", "--log", log)["records"]] == [FAST.id]
    assert "0 records deleted, 1 kept" in intbert(*arguments).stdout


def test_prune_without_asking(intbert_json: Document, log: Path) -> None:
    pruned = intbert_json("logs", "prune", "--log", log, "--keep", 1, "--yes")
    assert (pruned["deleted"], pruned["kept"]) == (2, 1)
    assert pruned["by_outcome"] == {"failed": 1, "usable": 1}


def test_export_and_import(intbert: Run, intbert_json: Document, log: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "out.jsonl.gz", tmp_path / "other.db"
    assert intbert_json("logs", "export", "--log", log, file, "--operator", "linear")["written"] == 2
    assert intbert_json("logs", "import", "--log", other, file) == {"new": 2, "known": 0, "bad": 0, "examples": []}
    assert (
        "0 records added, 2 were there already, 0 bad lines" in intbert("logs", "import", "--log", other, file).stdout
    )
    assert "exists already" in refusal(intbert, "logs", "export", "--log", log, file)
    assert "there is no" in refusal(intbert, "logs", "import", "--log", other, tmp_path / "missing")


def test_bad_lines_are_shown(intbert: Run, log: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "out.jsonl", tmp_path / "other.db"
    intbert("logs", "export", "--log", log, file)
    file.write_text("garbage\n" * 7 + file.read_text())
    line = refusal(intbert, "logs", "import", "--log", other, file, "--strict")
    assert f"{file}, line 1: no JSON" in line
    assert intbert("logs", "list", "--log", other, "--json").stdout.startswith('{"records": []')
    result = intbert("logs", "import", "--log", other, file)
    assert result.exit_code == 0
    assert f"passed over: {file}, line 5: no JSON" in result.stderr
    assert "... and 2 more bad lines" in result.stderr
    assert "3 records added, 0 were there already, 7 bad lines" in result.stdout


def test_metaschedules_files(intbert: Run, intbert_json: Document, tmp_path: Path) -> None:
    import tvm
    from intbert.schedules.tuning_log.workload import workload_of
    from tvm import te

    A = te.placeholder((64,), "int32", name="A")
    module = tvm.IRModule({"main": te.create_prim_func([A, te.compute((64,), lambda i: A[i] + 1, name="B")])})
    trace = '[[["GetSBlock",[],["B","main"],["b0"]]],[]]'
    log = make(tmp_path / "log.db", record(workload=workload_of(module, "addition", "64"), trace=trace))
    folder = tmp_path / "metaschedule"
    assert intbert_json("logs", "export", "--log", log, folder, "--metaschedule", "rpi4")["written"] == 1
    options = ("--target", "rpi4", "--device", "pi", "--threads", 2, "--operator", "addition", "--checked-by", "me")
    other = tmp_path / "other.db"
    assert intbert_json("logs", "import", "--log", other, folder, *options)["new"] == 1
    (imported,) = intbert_json("logs", "list", "--log", other)["records"]
    assert (imported["seconds"], imported["threads"], imported["checked_by"]) == ([1e-3], 2, "me")
    assert imported["features"] == sorted(get_target("rpi4").features)
    assert imported["device"]["name"] == "pi"
    assert "has no database_tuning_record.json" in refusal(intbert, "logs", "import", "--log", other, tmp_path)


def test_stats(intbert: Run, intbert_json: Document, log: Path, tmp_path: Path) -> None:
    with open_log(log) as opened:
        opened.keep_model("linear", bytes(2_500_000))
        opened.add(record(device=Device("nano", "m", "c", 4), at=-60))
    figures = intbert_json("logs", "stats", "--log", log)
    assert (figures["records"], figures["workloads"]) == (4, 2)
    assert figures["outcomes"] == {"failed": 1, "usable": 3}
    assert figures["devices"] == {"nano": 1, "pi": 3}
    assert figures["newest"] == (START + timedelta(minutes=2)).isoformat()
    result = intbert("logs", "stats", "--log", log)
    assert "4 records of 2 workloads" in result.stdout
    assert "from 2030-01-31 11:59:00 to 2030-01-31 12:02:00 UTC" in result.stdout
    assert "cost model linear: 2.5 MB" in result.stdout
    empty = make(tmp_path / "empty.db")
    assert "0 records of 0 workloads" in intbert("logs", "stats", "--log", empty).stdout


def test_upgrade(intbert: Run, log: Path, tmp_path: Path) -> None:
    assert "is up to date" in intbert("logs", "upgrade", "--log", log).stdout
    for command in (["upgrade"], ["prune", "--keep", "1"]):
        assert "there is no tuning log" in refusal(intbert, "logs", *command, "--log", tmp_path / "missing.db")
    assert [path.name for path in tmp_path.iterdir()] == [log.name]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("missing.db", "there is no tuning log"),
        ("mysql://user:secret@host/db", "is no URL of a tuning log"),
        ("postgresql://user:secret@127.0.0.1:1/db", "cannot be reached"),
    ],
)
def test_one_clear_line(intbert: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["list"], ["stats"], ["export", "out.jsonl"], ["best", "--target", "rpi4"]):
        line = refusal(intbert, "logs", *command, "--log", url)
        assert line.startswith("intbert: ")
        assert reason in line
        assert "secret" not in line
    assert list(tmp_path.iterdir()) == []


def test_a_filter_that_makes_no_sense(intbert: Run, log: Path) -> None:
    line = refusal(intbert, "logs", "list", "--log", log, "--outcome", "good")
    assert "no record's outcome is 'good'; there are usable, failed, unchecked, throttled" in line


def test_help_says_what_there_is(intbert: Run) -> None:
    help = intbert("logs", "--help").stdout
    for name in ("list", "show", "best", "diff", "merge", "prune", "export", "import", "stats", "upgrade"):
        assert name in help
    assert json.dumps(help)
