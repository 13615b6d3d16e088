"""The processes of a farm on this machine, started and ended within limits."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from intbert.rpc.farm.endpoint import Endpoint
from intbert.rpc.farm.summary import Queue, query

from ..server_process import ServerProcess, end_group, start_server

SECONDS = 120.0
"""Limit on whatever is waited for, on a busy machine."""
HERE = Path(__file__).parent

Process = subprocess.Popen[str]


class FarmProcesses:
    """Starts what a test needs; :meth:`close` ends it all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    def start(self, *arguments: object) -> Process:
        """``python ARGUMENTS``; what it writes on stderr is in :meth:`log`."""
        with self.log(len(list(self._folder.glob("log-*")))).open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, *(str(argument) for argument in arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        self._stack.callback(_end, process)
        return process

    def tracker(self, *options: object, port: int = 0) -> dict[str, Endpoint]:
        """Runs ``intbert tracker``; where it and its proxy listen, and its process under "process"."""
        process = self.start("-m", "intbert.cli.main", "tracker", "--port", port, "--json", *options)
        ready = json.loads(self.line(process))
        self.tracker_process = process
        return {name: Endpoint.parse(where) for name, where in ready.items() if where is not None}

    def board(self, name: str) -> ServerProcess:
        """A server of this machine that stands for the board's."""
        folder = self._folder / f"board-{len(list(self._folder.glob('board-*')))}"
        folder.mkdir()
        server = start_server([sys.executable], folder)
        self._stack.callback(server.stop)
        self.switch_on(name, server)
        return server

    def switch_on(self, name: str, server: ServerProcess) -> None:
        """The board called ``name`` is at ``server`` from now on."""
        aside = self._folder / f"{name}.partial"
        aside.write_text(json.dumps({"port": server.port, "key": server.key}))
        aside.rename(self._folder / f"{name}.json")

    def switch_off(self, name: str, server: ServerProcess) -> None:
        (self._folder / f"{name}.json").unlink()
        server.stop()

    def gateway(self, name: str, *options: object) -> Process:
        """Offers the board called ``name``."""
        return self.start(HERE / "gateway_program.py", self._folder / f"{name}.json", "--device", name, *options)

    def stock_client(self, tracker: Endpoint, key: str = "rpi4", seconds: float = 600.0) -> Process:
        """TVM's own client, which has the board when this returns."""
        process = self.start(HERE / "stock_client.py", tracker.port, key, seconds)
        assert "arch" in json.loads(self.line(process))
        return process

    def line(self, process: Process) -> str:
        """The next line that the process prints."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(SECONDS), "nothing was printed"
        line = process.stdout.readline()
        assert line, [path.read_text() for path in sorted(self._folder.glob("log-*"))]
        return line

    def log(self, number: int) -> Path:
        return self._folder / f"log-{number}"

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[FarmProcesses]:
    """For a test, at whose end nothing of it runs; conftest files import it."""
    processes = FarmProcesses(tmp_path)
    yield processes
    processes.close()


def eventually(true: Callable[[], object]) -> None:
    """Waits until ``true()``; fails when that takes too long."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def queue(tracker: Endpoint, key: str = "rpi4") -> Queue | None:
    """What the tracker says of the boards of this key; None when it has none."""
    return next((each for each in query(tracker).queues if each.key == key), None)


def free(tracker: Endpoint, key: str = "rpi4") -> int:
    """How many boards of this key the tracker has free."""
    found = queue(tracker, key)
    return 0 if found is None else found.free


def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    end_group(process)
