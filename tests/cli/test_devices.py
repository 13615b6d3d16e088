"""The commands that use boards, with a double in place of ssh: no board, no wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from intbert.cli import boards
from intbert.compiler.runtime import load
from intbert.errors import AuthenticationError
from intbert.rpc.devices import installation
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.sessions.board_session import Terms
from intbert.rpc.ssh import Login
from typer.testing import Result

from ..rpc.board_double import BoardDouble, wheelhouse
from ..rpc.conftest import server  # noqa: F401 - a fixture
from ..rpc.probing import reports
from ..rpc.server_process import ServerProcess

Run = Callable[..., Result]
Document = Callable[..., Any]


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which devices are kept."""
    folder = tmp_path / "devices"
    monkeypatch.setenv("INTBERT_DEVICES", str(folder))
    return folder


@pytest.fixture
def double(
    devices: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: ServerProcess,  # noqa: F811
) -> Iterator[BoardDouble]:
    """What every address leads to: a Raspberry Pi 4."""
    board = BoardDouble(reports.report_of(reports.rpi4()), server)

    def terms(tell: Callable[[str], None], wait: float = boards.WAIT_SECONDS) -> Terms:
        return Terms(Inventory(), connect=board.connect, wait=wait, tell=tell)

    monkeypatch.setattr(boards, "terms", terms)
    monkeypatch.setattr(installation, "prepare_wheels", lambda platform, tell: wheelhouse(tmp_path / "wheels"))
    yield board
    assert board.open == 0, "a connection was left open"


@pytest.fixture
def pi(intbert_json: Document, double: BoardDouble) -> BoardDouble:
    """The double, added as "pi"."""
    intbert_json("device", "add", "pi@board", "--name", "pi")
    return double


def refusal(run: Run, *arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    return lines[0]


def test_adding_installs_and_chooses(intbert_json: Document, double: BoardDouble) -> None:
    added = intbert_json("device", "add", "pi@board:2222", "--name", "pi", "--accept-host-key", "SHA256:abc")
    assert (added["target"], added["address"], added["installed"]) == ("rpi4", "pi@board:2222", True)
    assert "Raspberry Pi 4" in added["reason"]
    assert double.logins[0].accept == "SHA256:abc"
    assert {Path(name).name for name in double.files} == {"pip-1.0-py3-none-any.whl", "thing-2.0-py3-none-any.whl"}
    (pip,) = [command for command in double.commands if "install" in command]
    assert "--require-hashes" in pip
    assert "--no-index" in pip
    assert all(name.startswith("/home/pi/.intbert/") for name in double.files)


def test_adding_again_installs_nothing(intbert_json: Document, pi: BoardDouble) -> None:
    pi.files.clear()
    assert not intbert_json("device", "add", "pi@board", "--name", "pi")["installed"]
    assert pi.files == {}


def test_a_name_that_is_taken(intbert: Run, pi: BoardDouble) -> None:
    line = refusal(intbert, "device", "add", "pi@other", "--name", "pi")
    assert "the device 'pi' is pi@board already; choose another --name" in line


@pytest.mark.parametrize("name", ["", "Pi", "a b", "../x", "-x", "a/b", "x" * 65, "$(touch x)", "host,nano"])
def test_names_that_no_device_can_have(intbert: Run, double: BoardDouble, name: str) -> None:
    result = intbert("device", "add", "pi@board", "--name", name)
    assert result.exit_code == 1
    assert "no device can be called" in result.stderr
    assert double.logins == []


@pytest.mark.parametrize("address", ["pi@-oProxyCommand=x", "pi@board; reboot", "a b@board", "pi@board:x", "pi@$(id)"])
def test_hostile_addresses_reach_nobody(intbert: Run, double: BoardDouble, address: str) -> None:
    refusal(intbert, "device", "add", address, "--name", "pi")
    assert double.logins == []


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        pytest.param(reports.rpi3_with_32_bit_programs, "32", id="32-bit-programs"),
        pytest.param(reports.rpi_zero, "64-bit", id="32-bit-processor"),
        pytest.param(reports.jetson_nano, "Python", id="python-too-old"),
        pytest.param(reports.alpine, "musl", id="musl"),
        pytest.param(lambda: {**reports.rpi4(), "libc": "glibc 2.19"}, "glibc", id="glibc-too-old"),
    ],
)
def test_a_board_that_cannot_be_used_is_refused_before_anything_is_sent(
    intbert: Run, double: BoardDouble, devices: Path, report: Callable[[], dict[str, str]], reason: str
) -> None:
    double.report = reports.report_of(report())
    assert reason in refusal(intbert, "device", "add", "pi@board", "--name", "pi")
    assert double.files == {}
    assert list(devices.glob("*.json")) == []


def test_a_report_that_makes_no_sense(intbert: Run, double: BoardDouble) -> None:
    double.report = "Welcome to the board!\n"
    refusal(intbert, "device", "add", "pi@board", "--name", "pi")


def test_unknown_devices_get_a_hint(intbert: Run, pi: BoardDouble, toy: Path) -> None:
    for command in (["device", "show", "pie"], ["bench", toy, "--device", "pie"], ["run", toy, "x", "--device", "pie"]):
        assert "there is no device 'pie'; did you mean pi?" in refusal(intbert, *command)


def test_no_device_at_all(intbert: Run, devices: Path) -> None:
    assert "add one with `intbert device add" in refusal(intbert, "device", "show", "pi")
    assert json.loads(intbert("device", "list", "--json").stdout) == {"devices": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "no JSON", id="empty"),
        pytest.param("[]", "no JSON object", id="list"),
        pytest.param('{"schema": 99}', "schema 99; this intbert reads 1", id="newer"),
        pytest.param('{"schema": 1}', "name is None", id="hollow"),
        pytest.param(None, "pi -oProxyCommand=x", id="address"),
    ],
)
def test_a_device_file_that_was_edited_into_nonsense(
    intbert: Run, pi: BoardDouble, devices: Path, text: str | None, message: str
) -> None:
    path = devices / "pi.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "address": "pi -oProxyCommand=x"}) if text is None else text)
    line = refusal(intbert, "device", "show", "pi")
    assert str(path) in line
    assert message in line
    assert "add the device again" in line
    assert intbert("device", "remove", "pi", "--forget").exit_code == 0
    assert not path.exists()


def test_the_file_of_another_device(intbert: Run, pi: BoardDouble, devices: Path) -> None:
    (devices / "pi.json").rename(devices / "nano.json")
    assert "is the file of 'pi'" in refusal(intbert, "device", "show", "nano")


def test_removing(intbert: Run, pi: BoardDouble, devices: Path) -> None:
    assert intbert("device", "remove", "pi").exit_code == 0
    assert pi.commands[-1] == ["rm", "-rf", "/home/pi/.intbert"]
    assert list(devices.glob("*.json")) == []


def test_a_board_that_is_gone_can_be_forgotten(intbert: Run, pi: BoardDouble, devices: Path) -> None:
    pi.lost = True
    assert "is the board on?" in refusal(intbert, "device", "remove", "pi")
    assert (devices / "pi.json").exists()
    assert intbert("device", "remove", "pi", "--forget").exit_code == 0
    assert not (devices / "pi.json").exists()


def test_a_board_in_use(intbert: Run, pi: BoardDouble, toy: Path) -> None:
    pi.busy = "ann@laptop"
    assert "pi is in use by ann@laptop" in refusal(intbert, "bench", toy, "--device", "pi")
    assert "pi is in use by ann@laptop" in refusal(intbert, "device", "remove", "pi")


def test_a_password_is_asked_for_when_the_keys_are_not_enough(double: BoardDouble) -> None:
    from intbert.rpc.devices.address import Address
    from intbert.rpc.sessions.board_session import log_in

    def connect(login: Login, seconds: float) -> BoardDouble:
        if login.password != "right":
            raise AuthenticationError("no")
        return double.connect(login, seconds)

    login = Login(Address("board"), Path("accepted"))
    with pytest.raises(AuthenticationError):
        log_in(login, Terms(Inventory(), connect=connect))
    with pytest.raises(AuthenticationError):
        log_in(login, Terms(Inventory(), connect=connect, ask_password=lambda address: "wrong"))
    log_in(login, Terms(Inventory(), connect=connect, ask_password=lambda address: "right")).close()


def test_running_and_measuring(intbert: Run, intbert_json: Document, pi: BoardDouble, toy: Path) -> None:
    assert intbert_json("run", toy, "one two", "--device", "pi")["outputs"] == load(toy)(["one two"]).tolist()
    result = intbert_json("bench", toy, "--device", "pi", "--runs", "12", "--warmup", "3", "--length", "8")
    assert (result["runs"], result["length"], result["sent_bytes"]) == (12, 8, pi.sent_bytes)
    shown = intbert("bench", toy, "--device", "pi", "--runs", "3").stdout
    assert "p50_ms" in shown
    assert "samples" not in shown


def test_profiling(intbert: Run, intbert_json: Document, pi: BoardDouble, toy: Path) -> None:
    result = intbert_json("profile", toy, "--device", "pi", "--runs", "2", "--length", "8", "--threads", "1")
    assert (result["device"], result["runs"], result["length"]) == ("pi", 2, 8)
    assert [(o["name"], o["calls"]) for o in result["operators"]] == [("pooled", 1)]
    assert "outside the operators" in intbert("profile", toy, "--device", "pi", "--runs", "1").stdout
    assert "did you mean pi?" in refusal(intbert, "profile", toy, "--device", "pie")


def test_a_sweep_shows_what_failed_and_goes_on(intbert: Run, pi: BoardDouble, toy: Path, tmp_path: Path) -> None:
    output = tmp_path / "sweep.json"
    options = ["--device", "pi", "--lengths", "8,4096", "--threads", "1,2", "--runs", "2", "--output", output]
    result = intbert("bench", toy, *options)
    assert result.exit_code == 1
    assert "2 of 4 were not measured; pi: 4096 tokens" in result.stderr
    cells = json.loads(output.read_text())["cells"]
    assert [cell["error"] is None for cell in cells] == [True, True, False, False]
    again = intbert("bench", toy, *options, "--json")
    kept = json.loads(again.stdout)["cells"]
    assert kept[:2] == cells[:2]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema": 1, "artifact": "x", "cells": [1]}'])
def test_another_file_is_never_overwritten_by_a_sweep(
    intbert: Run, pi: BoardDouble, toy: Path, tmp_path: Path, content: str
) -> None:
    output = tmp_path / "notes.json"
    output.write_text(content)
    assert "is not the file of a sweep" in refusal(intbert, "bench", toy, "--device", "pi", "--output", output)
    assert output.read_text() == content


def test_the_sweep_of_another_artifact(intbert: Run, pi: BoardDouble, toy: Path, tmp_path: Path) -> None:
    output = tmp_path / "sweep.json"
    output.write_text(json.dumps({"schema": 1, "artifact": "another", "cells": []}))
    assert "of another artifact" in refusal(intbert, "bench", toy, "--device", "pi", "--output", output)


@pytest.mark.parametrize(
    "options",
    [["--lengths", "8,16"], ["--threads", "1,2"], ["--output", "x.json"], ["--length", "0"], ["--length", "8;16"]],
)
def test_options_that_make_no_sense(intbert: Run, toy: Path, options: list[str]) -> None:
    result = intbert("bench", toy, *options)
    assert result.exit_code == 2
