"""A log as text: out, in again, and what a file may be wrong with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intbert.errors import OutputError, TuningLogError
from intbert.schedules.tuning_log import Conditions, Device, Filter, open_log
from intbert.schedules.tuning_log import importing as importing_module
from intbert.schedules.tuning_log.importing import SHOWN
from intbert.schedules.tuning_log.lines import export_lines, import_lines
from intbert.schedules.tuning_log.log import TuningLog

from .samples import failed, record, workload

SAMPLES = [
    record((1.1e-3, 5e-324, 1 / 3), at=0),
    failed('wrong bytes "ü"\n', at=1),
    record(at=2, workload=workload(1, "gelu"), conditions=Conditions(), checked_by=None),
    record(at=3, source="estimated", features=frozenset({"neon", "dotprod"}), device=Device("n,{}", "m", "c", 2)),
]


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "folder/log.txt"])
def test_out_and_in_again(log: TuningLog, new_url: Callable[[], str], tmp_path: Path, name: str) -> None:
    log.add_many(SAMPLES)
    assert export_lines(log, tmp_path / name) == 4
    with open_log(new_url()) as other:
        result = import_lines(other, tmp_path / name, strict=True)
        assert (result.new, result.known, result.bad, result.examples) == (4, 0, 0, [])
        assert list(other.records()) == SAMPLES
        assert export_lines(other, tmp_path / f"again-{Path(name).name}") == 4
        assert import_lines(other, tmp_path / name).known == 4
    assert (tmp_path / f"again-{Path(name).name}").read_bytes() == (tmp_path / name).read_bytes()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """The samples as lines."""
    path = tmp_path / "samples.jsonl"
    with open_log(tmp_path / "samples.db") as log:
        log.add_many(SAMPLES)
        export_lines(log, path)
    return path


def test_what_a_line_says(exported: Path) -> None:
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    assert [sorted(line) for line in lines if "ir" in line] == [["hash", "ir", "operator", "schema", "shape"]] * 2
    first = next(line for line in lines if "ir" not in line)
    assert first["schema"] == 1
    assert first["workload"] == {"hash": workload().hash, "operator": "linear", "shape": workload().shape}
    assert first["seconds"] == [1.1e-3, 5e-324, 1 / 3]
    assert first["features"] == ["neon"]
    assert first["tuned_at"] == "2030-01-31T12:00:00.123456+00:00"
    assert first["device"]["model"].startswith("Raspberry")


def test_a_filter_narrows(log: TuningLog, tmp_path: Path) -> None:
    log.add_many(SAMPLES)
    assert export_lines(log, tmp_path / "out", Filter(operator="gelu")) == 1
    assert [json.loads(line)["schema"] for line in (tmp_path / "out").read_text().splitlines()] == [1, 1]


def test_lines_that_were_picked(log: TuningLog, exported: Path) -> None:
    """As grep would: by the device, and the lines with the IR."""
    picked = [line for line in exported.read_text().splitlines() if '"ir"' in line or '"dotprod"' in line]
    exported.write_text("\n".join(line for line in picked if "dotprod" in line and '"ir"' not in line))
    result = import_lines(log, exported)
    assert "no line before has the IR of its workload" in result.examples[0].reason
    exported.write_text("\n".join(picked))
    result = import_lines(log, exported)
    assert result.bad == 0
    assert result.new > 0
    # Now the log knows the workload itself.
    exported.write_text("\n".join(line for line in picked if '"ir"' not in line))
    assert import_lines(log, exported).bad == 0


def changed(line: str, **fields: Any) -> str:
    return json.dumps({**json.loads(line), **fields})


def without(line: str, name: str) -> str:
    return json.dumps({key: value for key, value in json.loads(line).items() if key != name})


BAD = {
    "garbage": (lambda _: "garbage", "no JSON"),
    "cut": (lambda line: line[:-20], "no JSON"),
    "a list": (lambda _: "[]", "no JSON object"),
    "deep": (lambda _: "[" * 100_000, "no JSON"),
    "no schema": (lambda line: without(line, "schema"), "schema None; this intbert reads 1"),
    "a newer schema": (lambda line: changed(line, schema=2), "schema 2; this intbert reads 1"),
    "no id": (lambda line: without(line, "id"), "no id"),
    "no device": (lambda line: without(line, "device"), "device is no JSON object"),
    "no trace": (lambda line: without(line, "trace"), "missing 1 required positional argument: 'trace'"),
    "an unknown field": (lambda line: changed(line, watts=3), "unexpected keyword argument 'watts'"),
    "an unknown condition": (lambda line: changed(line, conditions={"volts": 3}), "keyword argument 'volts'"),
    "seconds are text": (lambda line: changed(line, seconds="1"), "seconds and features are no lists"),
    "seconds have text": (lambda line: changed(line, seconds=["1"]), "a sample of the record is '1'"),
    "seconds are not numbers": (lambda line: changed(line, seconds=[float("nan")]), "a sample of the record is nan"),
    "seconds are negative": (lambda line: changed(line, seconds=[-1]), "a sample of the record is -1"),
    "features have a number": (lambda line: changed(line, features=[[]]), "a feature of the record is '[]'"),
    "no time": (lambda line: changed(line, tuned_at="yesterday"), "tuned_at is 'yesterday'; expected a time"),
    "a time without zone": (lambda line: changed(line, tuned_at="2030-01-01T00:00:00"), "a time with a time zone"),
    "NUL": (lambda line: changed(line, strategy="a\0b"), "characters that no database takes"),
    "half a character": (lambda line: changed(line, strategy="\ud800"), "characters that no database takes"),
    "huge threads": (lambda line: changed(line, threads=2**70), "the record's threads is 1180591620717411303424"),
    "a workload of its own": (lambda line: changed(line, workload={"hash": ["x"]}), "the IR of its workload ['x']"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_counted_and_passed_over(log: TuningLog, exported: Path, kind: str) -> None:
    spoil, reason = BAD[kind]
    lines = exported.read_text().splitlines()
    place = next(place for place, line in enumerate(lines) if '"ir"' not in line)
    lines[place] = spoil(lines[place])
    exported.write_text("\n".join(lines))
    with pytest.raises(TuningLogError) as caught:
        import_lines(log, exported, strict=True)
    assert f"{exported}, line {place + 1}: " in str(caught.value)
    assert "1 in all, nothing was imported; mend them, or leave out --strict" in str(caught.value)
    assert log.count() == 0
    result = import_lines(log, exported)
    assert (result.new, result.bad) == (3, 1)
    (bad,) = result.examples
    assert bad.number == place + 1
    assert reason in bad.reason
    assert "\n" not in str(bad)
    assert list(log.records()) == SAMPLES[1:]


def test_only_the_first_bad_lines_are_kept(log: TuningLog, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(b"\xfe\x00\x9a" + b"\n\n\n" + b"x\n" * 99)
    result = import_lines(log, path)
    assert (result.new, len(result.examples)) == (0, SHOWN)
    assert result.bad >= 100
    assert result.examples[-1].number > 5


def test_a_line_without_end_is_not_read_into_memory(
    log: TuningLog, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing_module, "LONGEST_LINE", 4096)
    exported.write_text(exported.read_text() + "x" * 5000 + "\n" + exported.read_text())
    result = import_lines(log, exported)
    assert (result.new, result.known, result.bad) == (4, 0, 1)
    assert "longer than 4096 bytes; it and what follows is not read" in result.examples[0].reason


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip"])
def test_a_damaged_compressed_file(log: TuningLog, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "log.jsonl.gz"
    with open_log(tmp_path / "samples.db") as source:
        source.add_many(record(at=at) for at in range(3000))
        export_lines(source, path)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "flipped": content[:middle] + b"\xff" * 64 + content[middle + 64 :],
            "not gzip": gzip.decompress(content),
        }[damage]
    )
    with pytest.raises(TuningLogError, match="nothing was imported"):
        import_lines(log, path, strict=True)
    assert log.count() == 0
    result = import_lines(log, path)
    assert result.bad >= 1
    assert "damaged or cut off here" in " ".join(bad.reason for bad in result.examples) or damage == "flipped"
    assert log.count() == result.new < 3000
    assert (result.new > 0) == (damage != "not gzip")


def test_files_that_cannot_be_read(log: TuningLog, tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(TuningLogError, match=f"cannot be read \\({reason}"):
            import_lines(log, path)


def test_files_that_cannot_be_written(log: TuningLog, tmp_path: Path) -> None:
    log.add_many(SAMPLES)
    (tmp_path / "there").touch()
    with pytest.raises(OutputError, match="exists already"):
        export_lines(log, tmp_path / "there")
    with pytest.raises(OutputError, match="cannot be written"):
        export_lines(log, tmp_path / "there" / "below")
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_happens_to_a_file_it_does_no_harm(exported: Path, data: st.DataObject) -> None:
    content = bytearray(exported.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    damaged = exported.with_name("damaged.jsonl")
    damaged.write_bytes(content)
    with open_log(exported.with_name("other.db")) as log:
        before = log.count()
        result = import_lines(log, damaged)
        assert result.new + result.known + result.bad <= content.count(b"\n") + 1
        assert log.count() == before + result.new
        assert sum(1 for _ in log.records()) == log.count()
