"""A server of ``intbert.rpc`` in a process of its own, started and ended within limits."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from intbert.rpc.sessions.session import Session, connect

START_SECONDS = 120
STOP_SECONDS = 10


@dataclass
class ServerProcess:
    """A running server; end it with :meth:`stop`."""

    process: subprocess.Popen[str]
    log: Path
    """Where its stderr goes."""
    host: str
    port: int
    key: str

    def connect(self, timeout: float = 60.0) -> Session:
        """A new session whose calls may each take ``timeout`` seconds."""
        return connect(self.host, self.port, self.key, timeout=timeout)

    def stop(self) -> None:
        """Ends the server and whatever it started."""
        end_group(self.process)


def start_server(python: Sequence[str], folder: Path) -> ServerProcess:
    """Starts a server under ``python``, its files in ``folder``, and waits until it listens."""
    sessions = folder / "sessions"
    sessions.mkdir()
    log = folder / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*python, "-m", "intbert.rpc.on_board.server", "--host", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "TMPDIR": str(sessions)},
            start_new_session=True,
        )
    try:
        ready = _ready_line(process, log)
    except BaseException:
        end_group(process)
        raise
    return ServerProcess(process, log, ready["host"], ready["port"], ready["key"])


def _ready_line(process: subprocess.Popen[str], log: Path) -> dict:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        answered = selector.select(START_SECONDS)
    line = process.stdout.readline() if answered else ""
    if not line:
        raise RuntimeError(f"the server did not start within {START_SECONDS} s: {log.read_text()}")
    return json.loads(line)


def end_group(process: subprocess.Popen[str]) -> None:
    """Ends a process that leads a process group, and the rest of the group with it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
    if process.stdout is not None:
        process.stdout.close()
