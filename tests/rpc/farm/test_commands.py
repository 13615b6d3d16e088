"""The commands of a farm: ``tracker``, and ``run``, ``eval`` and ``bench`` on any board of a kind."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from intbert.cli.main import app
from intbert.compiler.runtime import load
from intbert.rpc.farm.endpoint import Endpoint
from typer.testing import CliRunner, Result

from ...compiler.toy_artifact import build_toy
from .processes import SECONDS, FarmProcesses, eventually, free


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_toy(tmp_path_factory.mktemp("toy") / "artifact")


@pytest.fixture(scope="module")
def offered(tracker: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The options that lead to a board that is offered as "one" under the key rpi4."""
    farm = FarmProcesses(tmp_path_factory.mktemp("farm"))
    farm.board("one")
    farm.gateway("one", "--tracker", tracker)
    eventually(lambda: free(tracker) == 1)
    yield ["--tracker", str(tracker), "--key", "rpi4", "--wait", str(SECONDS)]
    farm.close()


def intbert(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def document(*arguments: object) -> Any:
    result = intbert(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_boards_of_a_tracker(tracker: Endpoint, offered: list[str]) -> None:
    eventually(lambda: free(tracker) == 1)
    (board,) = document("tracker", "--query", tracker)["boards"]
    assert board == {"key": "rpi4", "free": 1, "in_use": 0, "waiting": board["waiting"], "devices": ["one"]}
    shown = intbert("tracker", "--query", tracker).stdout
    assert "in use" in shown
    assert "rpi4" in shown


def test_running(toy: Path, offered: list[str]) -> None:
    ran = document("run", toy, "one two", "three", "--integers", *offered)
    assert ran["outputs"] == load(toy).run_texts(["one two", "three"]).tolist()
    assert ran["device"] == "one"
    assert "from one" in intbert("run", toy, "one two", *offered).stdout


def test_accuracy(toy: Path, offered: list[str], tmp_path: Path) -> None:
    data = tmp_path / "glue" / "STS-B"
    data.mkdir(parents=True)
    rows = [("one two", "two three", 1.0), ("four", "five", 4.5), ("one", "one one", 3.0)]
    lines = ["sentence1\tsentence2\tlabel", *("\t".join(map(str, row)) for row in rows)]
    (data / "dev.tsv").write_text("\n".join(lines) + "\n")
    command = ["eval", toy, "--task", "stsb", "--data", data.parent]
    assert document(*command, *offered) == document(*command)


def test_measuring(toy: Path, offered: list[str], tmp_path: Path) -> None:
    result = document("bench", toy, *offered, "--runs", "5", "--warmup", "1", "--length", "8")
    assert (result["device"], result["runs"], result["sent_bytes"]) == ("one", 5, None)
    output = tmp_path / "sweep.json"
    swept = document("bench", toy, *offered, "--runs", "2", "--lengths", "8,16", "--output", output)
    assert [(cell["cell"]["device"], cell["result"]["device"]) for cell in swept["cells"]] == [("rpi4", "one")] * 2
    assert "one" in intbert("bench", toy, *offered, "--runs", "2").stdout


@pytest.mark.parametrize("command", ["run", "eval", "bench"])
@pytest.mark.parametrize(
    "options",
    [["--tracker", "127.0.0.1:9"], ["--key", "rpi4"], ["--tracker", "127.0.0.1:9", "--key", "x", "--device", "pi"]],
    ids=["no-key", "no-tracker", "and-a-device"],
)
def test_options_that_make_no_sense(toy: Path, command: str, options: list[str]) -> None:
    needed = {"run": ["one"], "eval": ["--task", "stsb", "--data", toy], "bench": []}
    result = intbert(command, toy, *needed[command], *options)
    assert result.exit_code == 2
    assert "belong together" in " ".join(result.stderr.replace("│", " ").split())


def test_a_kind_that_is_mistyped(toy: Path, offered: list[str]) -> None:
    for command in (["run", toy, "one"], ["bench", toy, "--lengths", "8,16"]):
        result = intbert(*command, *offered, "--key", "rpi5")
        assert result.exit_code == 1
        assert "no board of the kind 'rpi5'; there are rpi4" in result.stderr


def test_nobody_there(toy: Path) -> None:
    for command in (["tracker", "--query", "127.0.0.1:9"], ["run", toy, "x", "--tracker", "127.0.0.1:9", "--key", "x"]):
        result = intbert(*command)
        assert result.exit_code == 1
        assert "the tracker 127.0.0.1:9 cannot be reached" in result.stderr


def test_serving_needs_a_tracker_or_a_proxy() -> None:
    for options in ([], ["--tracker", "a:1", "--proxy", "b:2"]):
        assert intbert("device", "serve", "pi", *options).exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_tracker_ends_at_a_signal(farm: FarmProcesses, number: signal.Signals) -> None:
    farm.tracker("--proxy-port", 0)
    farm.tracker_process.send_signal(number)
    assert farm.tracker_process.wait(SECONDS) == 0
    assert farm.log(0).read_text() == ""


def test_a_tracker_that_is_open_says_so(farm: FarmProcesses) -> None:
    assert intbert("tracker", "--host", "0.0.0.0", "--port", "0").exit_code == 1
    farm.tracker("--host", "0.0.0.0", "--open-to-network")
    assert "whoever reaches it can run anything" in farm.log(0).read_text()
