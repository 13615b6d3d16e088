"""The supervisor as a process of this machine: the lease, and that nothing outlives the host or the server."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from intbert.rpc.on_board import supervisor
from intbert.rpc.on_board.lease import Lease
from intbert.rpc.sessions.session import connect

SECONDS = 60.0


class Host:
    """What a host does: it starts a supervisor and beats; the test may stop doing so."""

    def __init__(self, home: Path, session: str = "one", wait: float = 0.0) -> None:
        command = [sys.executable, "-m", "intbert.rpc.on_board.supervisor", "--home", str(home), "--session", session]
        self.process = subprocess.Popen(
            [*command, "--holder", "ann@laptop", "--wait", str(wait)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.ready = self._first_line()
        self.family = [*psutil.Process(self.process.pid).children(recursive=True)]

    def _first_line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(SECONDS), "no first line"
        return json.loads(self.process.stdout.readline())

    def hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def host(home: Path) -> Iterator[Host]:
    running = Host(home)
    yield running
    running.end()
    assert_gone(running)


def assert_gone(host: Host) -> None:
    _, alive = psutil.wait_procs(host.family, SECONDS)
    assert alive == []


def sessions(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "sessions").iterdir())


def wait_until_empty(folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while list(folder.iterdir()):
        assert time.monotonic() < deadline, f"{folder} still holds files"
        time.sleep(0.05)


def test_it_serves(home: Path, host: Host) -> None:
    assert sessions(home) == ["one"]
    with connect("127.0.0.1", host.ready["port"], host.ready["key"]) as session:
        assert session.features().arch


def test_the_server_is_in_a_process_group_of_its_own(host: Host) -> None:
    (server,) = psutil.Process(host.process.pid).children()
    assert os.getpgid(server.pid) == server.pid


def test_a_second_host_is_told_who_has_the_board(home: Path, host: Host) -> None:
    second = Host(home, "two")
    assert second.ready["busy"]["name"] == "ann@laptop"
    assert second.process.wait(SECONDS) == supervisor.BUSY
    second.end()
    assert sessions(home) == ["one"]
    with connect("127.0.0.1", host.ready["port"], host.ready["key"]) as session:
        session.features()  # the first was not disturbed


@pytest.mark.parametrize("crash", ["hang up", "kill"])
def test_the_lease_ends_with_its_host(home: Path, host: Host, crash: str) -> None:
    with connect("127.0.0.1", host.ready["port"], host.ready["key"]) as session:
        session.features()
        host.family += psutil.Process(host.process.pid).children(recursive=True)
        if crash == "kill":
            host.process.kill()
        else:
            host.hang_up()
        assert_gone(host)
    second = Host(home, "two", wait=SECONDS)
    assert "port" in second.ready
    assert sessions(home) == ["two"]
    second.hang_up()
    second.process.wait(SECONDS)
    second.end()
    assert_gone(second)
    wait_until_empty(home / "sessions")


def test_a_killed_server_ends_the_session_and_its_files(home: Path, host: Host) -> None:
    (server,) = psutil.Process(host.process.pid).children()
    server.kill()
    assert host.process.wait(SECONDS) == 1
    wait_until_empty(home / "sessions")


def test_a_silent_host_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network may die without a word: then the input stays open and nothing comes."""
    monkeypatch.setattr(supervisor, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(supervisor, "POLL_SECONDS", 0.1)
    reader, writer = os.pipe()
    saved = os.dup(0)
    os.dup2(reader, 0)
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        assert supervisor._supervise(child.pid) == 0
    finally:
        os.dup2(saved, 0)
        for descriptor in (reader, writer, saved):
            os.close(descriptor)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(SECONDS)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "$x"])
def test_names_of_sessions_stay_in_their_folder(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        supervisor.main(["--home", str(tmp_path), "--session", name])
    assert "letters and digits" in capsys.readouterr().err


def test_a_lease_whose_holder_is_just_writing_is_taken_all_the_same(tmp_path: Path) -> None:
    first, second = Lease(tmp_path), Lease(tmp_path)
    assert first.acquire("ann", 0.0) is None
    (tmp_path / "lease").write_text("{")
    holder = second.acquire("bob", 0.0)
    assert holder is not None
    assert holder.name == "somebody"


def test_a_host_that_hangs_up_at_once(home: Path) -> None:
    """The server's process group has to be there from the first moment: it may have to be ended then."""
    for index in range(3):
        command = [
            sys.executable,
            "-m",
            "intbert.rpc.on_board.supervisor",
            "--home",
            str(home),
            "--session",
            f"s{index}",
        ]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        assert sessions(home) == []
