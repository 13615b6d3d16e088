"""The accuracy table: its plan, its cells, and what is written; one cell is made with the commands themselves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import accuracy
import pytest
from accuracy_bench import cells
from accuracy_bench.calibration import write_calibration
from accuracy_bench.cells import Workshop
from accuracy_bench.commands import Run
from accuracy_bench.errors import TableError
from accuracy_bench.plan import Goal, Plan, Row, read_plan
from accuracy_bench.report import read_record, write_report
from accuracy_bench.table import Status, table_rows
from intbert.quantization.methods import METHODS

from ..quantization.checkpoints import SENTENCES, make_model, save_model

HEADER = """
lengths = "16"
calibration_sentences = 3
[quick]
limit = 2
calibration_sentences = 1
lengths = "8"
[baselines.tiny]
task = "sst2"
source = "{source}"
[[rows]]
name = "one"
method = "ibert"
scheme = "W8A8"
baseline = "tiny"
quantize = []
goal = {{ drop = 50 }}
quick = true
"""
SECOND = """
[[rows]]
name = "two"
method = "lq"
scheme = "W8A8"
baseline = "tiny"
quantize = []
seeds = [0, 1]
goal = { at_least = 0.9, reduction = 2 }
"""


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    lines = [f'{sentence} "\t{row % 2}' for row, sentence in enumerate(SENTENCES * 2)]
    for split in ("train", "dev"):
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n", encoding="utf-8")
    return folder.parent


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.toml"
    path.write_text(HEADER.format(source=tmp_path / "float") + SECOND, encoding="utf-8")
    return path


class Recorded:
    """Stands for ``intbert``: makes the outputs that it is asked for, and scores them as told."""

    def __init__(self, values: dict[str, float]) -> None:
        self.values = values
        self.commands: list[str] = []

    def __call__(self, log: Path) -> Any:
        return self.run

    def run(self, *arguments: object) -> Run:
        given = [str(argument) for argument in arguments]
        self.commands.append(" ".join([given[0], *(Path(argument).name for argument in given[1:])]))
        if "-o" in given:
            output = Path(given[given.index("-o") + 1])
            output.mkdir(parents=True)
            (output / "content").write_bytes(b"1234")
        score = next((value for name, value in self.values.items() if name in given[1]), 0.5)
        return Run("intbert", 1.0, {"task": "sst2", "metric": "accuracy", "value": score, "n": 8})


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    from intbert.quantization import size

    found = Recorded({"float": 0.9, "one.0": 0.85, "two.0": 0.8, "two.1": 0.86})
    monkeypatch.setattr(cells, "Intbert", found)
    monkeypatch.setattr(size, "bits_reduction", lambda original, model: 1.5)
    monkeypatch.setattr("intbert.load_quantized", lambda folder: None, raising=False)
    monkeypatch.setattr("intbert.quantization.load_float_model", lambda folder: type("Float", (), {"architecture": 0}))
    return found


def workshop(plan: Plan, tmp_path: Path, glue: Path) -> Workshop:
    return Workshop(plan, tmp_path / "build", glue, lambda name: None)


def test_the_plan_names_every_method_that_is_demanded():
    plan = read_plan()
    demanded = {"lq", "aciq", "ocs", "brecq", "q8bert", "ibert", "mkqbert", "kdlsq", "binarybert"}
    assert {row.method for row in plan.rows} == demanded
    assert {row.name: len(row.seeds) for row in plan.rows if len(row.seeds) > 1} == {
        "ibert-sst2": 3,
        "binarybert-sst2-w1a8": 3,
    }
    assert {row.baseline for row in plan.rows if row.method in ("ibert", "mkqbert", "binarybert")} == {
        "sst2", "cola", "stsb",
    }  # fmt: skip


def test_the_quick_plan_is_a_slice():
    quick = read_plan(quick=True)
    assert quick.limit is not None
    assert 1 <= len(quick.rows) <= 4
    assert {row.method for row in quick.rows} <= set(METHODS)
    assert not any(row.trained or len(row.seeds) > 1 for row in quick.rows)


def test_rows_with_their_goals(recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path):
    shop = workshop(read_plan(plan_file), tmp_path, glue)
    assert accuracy.make(shop, shop.plan.rows, tmp_path / "docs") == []
    one, two = table_rows(shop)
    assert (one.status, one.short_by, one.value, one.float, one.spread) == (Status.REACHED, "", 0.85, 0.9, None)
    assert two.status is Status.SHORT
    assert two.short_by == "0.0700, 0.50x"
    assert two.value == pytest.approx(0.83)
    assert two.spread == pytest.approx(0.06)
    assert two.seeds == (0, 1)
    assert (two.bits_reduction, two.artifact_bytes) == (1.5, 4)


def test_a_finished_cell_is_not_made_again(recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path):
    shop = workshop(read_plan(plan_file), tmp_path, glue)
    accuracy.make(shop, shop.plan.rows[:1], tmp_path / "docs")
    assert [command.split()[0] for command in recorded.commands] == ["eval", "quantize", "compile", "eval"]
    accuracy.make(shop, shop.plan.rows[:1], tmp_path / "docs")
    assert len(recorded.commands) == 4


def test_the_record_is_shown_until_its_cells_are_made_here(
    recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path
):
    elsewhere = workshop(read_plan(plan_file), tmp_path / "elsewhere", glue)
    elsewhere.row_cell(elsewhere.plan.rows[1], 0)
    write_report(elsewhere, table_rows(elsewhere), tmp_path / "docs")
    record = read_record(tmp_path / "docs")
    assert set(record) == {"baseline.tiny", "two.0"}
    assert str(tmp_path) not in json.dumps(record)

    recorded.values |= {"float": 0.94, "two.1": 0.96}
    here = replace(workshop(elsewhere.plan, tmp_path / "here", glue), record=record)
    assert table_rows(here)[1].missing_seeds == (1,)
    recorded.commands.clear()
    accuracy.make(here, here.plan.rows[1:], tmp_path / "docs", missing=True)
    assert [command.split()[1] for command in recorded.commands if command.startswith("quantize")] == ["float"]
    row = table_rows(here)[1]
    assert (row.value, row.float) == (pytest.approx((0.8 + 0.96) / 2), pytest.approx((0.9 + 0.94) / 2))
    assert set(read_record(tmp_path / "docs")) == {"baseline.tiny", "two.0", "two.1"}

    accuracy.make(here, here.plan.rows[1:], tmp_path / "docs")
    assert table_rows(here)[1].float == pytest.approx(0.94)


def test_a_record_of_another_definition_is_not_shown(recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path):
    shop = workshop(read_plan(plan_file), tmp_path, glue)
    cell = shop.row_cell(shop.plan.rows[0], 0)
    changed = replace(shop.plan, rows=(replace(shop.plan.rows[0], quantize=("--weight-bits", "8")),))
    other = replace(workshop(changed, tmp_path / "other", glue), record={"one.0": cell})
    assert other.finished_row(other.plan.rows[0], 0) is None


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": []}'])
def test_a_damaged_record(tmp_path: Path, content: str):
    (tmp_path / "accuracy.json").write_text(content)
    with pytest.raises(TableError, match=r"accuracy\.json is damaged"):
        read_record(tmp_path)


def test_a_killed_run_goes_on(recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path):
    shop = workshop(read_plan(plan_file), tmp_path, glue)

    def killed(*arguments: object) -> Run:
        if arguments[0] == "compile":
            raise KeyboardInterrupt
        return recorded.run(*arguments)

    recorded.__class__.__call__, original = (lambda self, log: killed), recorded.__class__.__call__
    try:
        with pytest.raises(KeyboardInterrupt):
            accuracy.make(shop, shop.plan.rows[:1], tmp_path / "docs")
    finally:
        recorded.__class__.__call__ = original
    recorded.commands.clear()
    accuracy.make(shop, shop.plan.rows[:1], tmp_path / "docs")
    assert [command.split()[0] for command in recorded.commands] == ["compile", "eval"]


def test_another_definition_is_another_cell(recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path):
    plan = read_plan(plan_file)
    row = plan.rows[0]
    workshop(plan, tmp_path, glue).row_cell(row, 0)
    changed = replace(row, quantize=("--granularity", "tensor"))
    shop = workshop(replace(plan, rows=(changed,)), tmp_path, glue)
    assert shop.finished_row(changed, 0) is None
    recorded.commands.clear()
    shop.row_cell(changed, 0)
    assert "--granularity tensor" in recorded.commands[0]


def test_what_was_not_run_has_no_number(recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path):
    shop = workshop(read_plan(plan_file), tmp_path, glue)
    two = shop.plan.rows[1]
    shop.row_cell(two, 1)
    markdown, document = write_report(shop, table_rows(shop), tmp_path / "docs")
    rows = json.loads(document.read_text())["rows"]
    assert (rows[0]["status"], rows[0]["value"]) == ("not run", None)
    assert (rows[1]["seeds"], rows[1]["missing_seeds"], rows[1]["spread"]) == ([1], [0], None)
    assert "seeds 0 not run yet" in markdown.read_text()
    assert str(tmp_path) not in markdown.read_text() + document.read_text()


def test_one_that_fails_does_not_stop_the_others(
    recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path, monkeypatch: pytest.MonkeyPatch
):
    def failing(self: Workshop, row: Row, seed: int) -> Any:
        if row.name == "one":
            raise TableError("no such method")
        return original(self, row, seed)

    original = Workshop.row_cell
    monkeypatch.setattr(Workshop, "row_cell", failing)
    shop = workshop(read_plan(plan_file), tmp_path, glue)
    assert accuracy.make(shop, shop.plan.rows, tmp_path / "docs") == ["one: no such method"]
    assert [row.status for row in table_rows(shop)] == [Status.NOT_RUN, Status.SHORT]


@pytest.mark.parametrize(
    ("goal", "value", "status"),
    [
        pytest.param(Goal(), 0.1, Status.NO_GOAL, id="none"),
        pytest.param(Goal(at_least=0.7), 0.7, Status.REACHED, id="exactly-at-least"),
        pytest.param(Goal(at_least=0.7), 0.6999, Status.SHORT, id="below"),
        pytest.param(Goal(drop=20), 0.7, Status.REACHED, id="exactly-the-drop"),
        pytest.param(Goal(drop=20), 0.69, Status.SHORT, id="dropped"),
        pytest.param(Goal(reduction=1.5), 0.1, Status.REACHED, id="reduction"),
        pytest.param(Goal(drop=50, reduction=1.6), 0.85, Status.SHORT, id="reduction-short"),
    ],
)
def test_goals(
    recorded: Recorded, plan_file: Path, tmp_path: Path, glue: Path, goal: Goal, value: float, status: Status
):
    recorded.values["one.0"] = value
    plan = read_plan(plan_file)
    shop = workshop(replace(plan, rows=(replace(plan.rows[0], goal=goal),)), tmp_path, glue)
    accuracy.make(shop, shop.plan.rows, tmp_path / "docs")
    assert table_rows(shop)[0].status is status


def test_calibration_sentences_are_spread(tmp_path: Path, glue: Path):
    write_calibration("sst2", glue, 4, tmp_path / "sentences.txt")
    assert (tmp_path / "sentences.txt").read_text().splitlines() == [f'{SENTENCES[row]} "' for row in (0, 2, 0, 2)]
    with pytest.raises(TableError, match="--data"):
        write_calibration("cola", glue, 4, tmp_path / "sentences.txt")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(('baseline = "tiny"', 'baseline = "huge"'), "baseline huge", id="baseline"),
        pytest.param(('name = "two"', 'name = "one"'), "two rows are called one", id="twice"),
        pytest.param(("at_least", "at_most"), "no 'at_most'", id="goal"),
        pytest.param(('method = "lq"\n', ""), "method", id="no-method"),
        pytest.param(("seeds = [0, 1]", "seeds = []"), "no seeds", id="no-seeds"),
        pytest.param(("[quick]", "[quick"), "not a plan", id="damaged"),
    ],
)
def test_a_plan_that_makes_no_sense(plan_file: Path, change: tuple[str, str], words: str):
    plan_file.write_text(plan_file.read_text().replace(*change))
    with pytest.raises(TableError, match=words):
        read_plan(plan_file)


def test_a_row_that_there_is_not(capsys: pytest.CaptureFixture[str], tmp_path: Path, plan_file: Path):
    assert accuracy.main(["--plan", str(plan_file), "--build", str(tmp_path), "--only", "three"]) == 1
    assert "no row is called three; there are one, two" in capsys.readouterr().err


def test_a_quick_table_with_the_commands_themselves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, plan_file: Path, glue: Path
):
    save_model(make_model("Bert", "ForSequenceClassification"), tmp_path / "float")
    options = ["--plan", str(plan_file), "--quick", "--data", str(glue), "--build", str(tmp_path / "build")]
    assert accuracy.main(options) == 0, capsys.readouterr().err
    document = json.loads((tmp_path / "build" / "accuracy.json").read_text())
    (row,) = document["rows"]
    assert row["status"] == "reached"
    assert row["task"] == "sst2"
    assert row["bits_reduction"] > 2
    assert [run["command"].split()[1] for run in row["cells"][0]["commands"]] == ["quantize", "compile", "eval"]
    assert document["limit"] == 2
    assert accuracy.main([*options, "--list"]) == 0
    assert "reached" in capsys.readouterr().out
