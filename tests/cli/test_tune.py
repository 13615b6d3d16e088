"""``intbert tune``, ``compile --log`` and ``logs verify`` on this machine, and a run that is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from intbert.compiler.model import HeadKind
from intbert.compiler.model_files import save
from intbert.errors import TuningLogError
from intbert.schedules.tuning_log import open_log

from ..models import Size, tiny_model

SECONDS = 120.0
TRIALS = 15
Document = Callable[..., Any]
Run = Callable[..., Any]
COMMON = ("--target", "host", "--lengths", "8", "--threads", "1")


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny.q"
    folder.mkdir()
    save(tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128)), folder)
    return folder


@pytest.fixture(scope="module")
def log(quantized: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that a run was killed over with SIGKILL, and another one then went on with."""
    path = tmp_path_factory.mktemp("log") / "tuning.db"
    with started(quantized, path, TRIALS) as process:
        eventually(lambda: traces(path) >= TRIALS // 3)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(SECONDS)
    _, alive = psutil.wait_procs(children, SECONDS)
    assert alive == [], "nothing that it started outlives it"
    before = traces(path)
    assert TRIALS // 3 <= before < TRIALS
    with started(quantized, path, TRIALS) as process:
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, err
    assert sum(task["trials"] for task in json.loads(out)["tasks"]) == TRIALS
    return path


def started(quantized: Path, log: Path, trials: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "intbert.cli.main", "tune", quantized, *COMMON, "--log", log]
    arguments = [str(each) for each in (*command, "--trials", trials, "--json")]
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def traces(log: Path) -> int:
    """How many candidates the log has; none while it is being made."""
    try:
        with open_log(log, read_only=True) as opened:
            return len({(record.workload.hash, record.strategy, record.trace) for record in opened.records()})
    except TuningLogError:
        return 0


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_was_killed_goes_on_where_it_stopped(log: Path) -> None:
    assert traces(log) == TRIALS
    with open_log(log, read_only=True) as opened:
        records = list(opened.records())
    assert len({record.id for record in records}) == len(records)
    assert {record.error for record in records} == {None}


@pytest.fixture
def terminal() -> Iterator[None]:
    """As in a terminal: jobs in the background, and what they start, ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("terminal")
def test_an_interrupt_ends_a_run_with_one_line(quantized: Path, tmp_path: Path) -> None:
    path = tmp_path / "tuning.db"
    with started(quantized, path, 1000) as process:
        eventually(lambda: traces(path) >= 3)
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (130, "")
    assert err == "intbert: interrupted; what was measured is in the log, and the same command goes on from there\n"
    _, alive = psutil.wait_procs(children, SECONDS)
    assert alive == []
    with open_log(path, read_only=True) as log:
        assert {record.error for record in log.records()} == {None}, "no build that the interrupt ended is a failure"
        assert log.summary().cost_models
    assert traces(path) >= 3


def test_compiling_says_what_is_tuned(intbert: Run, quantized: Path, log: Path, tmp_path: Path) -> None:
    result = intbert("compile", quantized, *COMMON, "--log", log, "--output", tmp_path / "tuned")
    assert result.exit_code == 0, result.stderr
    total = len(re.findall(r"main_b1_t8/", result.stdout))
    assert total
    assert re.search(r"record [0-9a-f]{8}", result.stdout)
    assert "kernels are scheduled by the log, the others by default" in result.stdout
    shown = intbert("inspect", tmp_path / "tuned", "--strategies").stdout
    assert re.search(r"record [0-9a-f]{8}", shown)


def test_the_environment_names_the_log_and_no_log_leaves_it_out(
    intbert_json: Document, quantized: Path, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTBERT_LOG", str(log))
    tuned = intbert_json("compile", quantized, *COMMON, "--output", tmp_path / "tuned")["kernels"]
    default = intbert_json("compile", quantized, *COMMON, "--no-log", "--output", tmp_path / "default")["kernels"]
    assert None not in {kernel["tuning_record"] for kernel in tuned}
    assert {kernel["tuning_record"] for kernel in default} == {None}


def test_estimates_are_called_so(intbert: Run, quantized: Path, tmp_path: Path) -> None:
    log = ("--log", tmp_path / "tuning.db")
    static = ("tune", quantized, *COMMON, *log, "--cost-model", "static", "--trials", "6")
    shown = intbert(*static)
    assert shown.exit_code == 0, shown.stderr
    assert re.search(r"^estimates by .*, not measurements: the best schedules take", shown.stdout, re.MULTILINE)
    document = json.loads(intbert(*static, "--json").stdout)
    assert (document["source"], document["checked"]) == ("estimated", True)
    assert document["estimated_by"]
    compiled = intbert("compile", quantized, *COMMON, *log, "--output", tmp_path / "artifact")
    assert re.search(r"record [0-9a-f]{8}, estimated", compiled.stdout)
    assert not re.search(r"record [0-9a-f]{8}, measured", compiled.stdout)


def test_estimates_without_a_board(intbert: Run, quantized: Path, tmp_path: Path) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("this machine is no x86, and may run the target's code")
    log, target = ("--log", tmp_path / "tuning.db"), ("--target", "rpi5", "--lengths", "8", "--threads", "1")
    shown = intbert("tune", quantized, *target, *log, "--cost-model", "static", "--trials", "9")
    assert shown.exit_code == 0, shown.stderr
    assert "nothing was run" in shown.stdout
    compiled = intbert("compile", quantized, *target, *log, "--output", tmp_path / "artifact")
    assert "its unchecked records of this model are not used" in compiled.stderr
    assert "0 of " in compiled.stdout


def test_verifying(intbert: Run, quantized: Path, log: Path) -> None:
    result = intbert(
        "logs", "verify", quantized, *COMMON, "--log", log, "--sample", "2", "--tolerance", "1e9", "--json"
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (len(document["verified"]), document["drifted"]) == (2, 0)


def test_a_time_that_changed_has_drifted(intbert: Run, quantized: Path, log: Path) -> None:
    result = intbert("logs", "verify", quantized, *COMMON, "--log", log, "--sample", "1", "--tolerance", "0")
    assert result.exit_code == 1
    assert "drifted" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--target", "nonsense"), "there is no target 'nonsense'", id="unknown-target"),
        pytest.param(("--target", "rpi4"), "this machine is x86_64, rpi4 is aarch64", id="another-machine"),
        pytest.param(("--target", "host", "--lengths", "9999"), "exceeds the model's", id="too-long"),
        pytest.param(("--target", "host", "--device", "nobody"), "there is no device 'nobody'", id="unknown-device"),
        pytest.param(("--target", "host", "--log", "mysql://host/db"), "mysql", id="unknown-database"),
    ],
)
def test_bad_input(intbert: Run, quantized: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    if "rpi4" in arguments and os.uname().machine != "x86_64":
        pytest.skip("this machine is no x86")
    assert words in refusal(intbert, "tune", quantized, "--log", tmp_path / "tuning.db", *arguments)


def refusal(intbert: Run, *arguments: object) -> str:
    """The one line with which a command fails."""
    result = intbert(*arguments)
    assert result.exit_code == 1, result.output
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("intbert: ")]
    return line


def test_nothing_to_verify(intbert: Run, quantized: Path, log: Path) -> None:
    other = ["--target", "host", "--lengths", "16", "--threads", "3"]
    words = refusal(intbert, "logs", "verify", quantized, *other, "--log", log)
    assert "has no record of a kernel of" in words
