"""This machine as a board: the same server in a process of its own, so that a kernel that crashes costs a session."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import RemoteError
from .board_session import Terms
from .boards import OpenBoard
from .session import Session, connect

HERE = "this machine"
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class ThisMachine:
    """An open session with this machine."""

    session: Session
    name: str = HERE
    sent_bytes: None = None


class Here:
    """This machine, as :class:`.boards.Boards`; its only name is :data:`HERE`."""

    def check(self, name: str, terms: Terms) -> None:
        """See :class:`.boards.Boards`: it is always there."""

    def open(self, name: str, terms: Terms) -> AbstractContextManager[OpenBoard]:
        """A session for the block."""
        return local_session(terms.timeout)


@contextmanager
def local_session(timeout: float) -> Iterator[ThisMachine]:
    """A session with a server on this machine, which ends with the block; RemoteError when it does not start."""
    with (
        tempfile.TemporaryDirectory(prefix="intbert-") as folder,
        _server(Path(folder)) as ready,
        connect(ready["host"], ready["port"], ready["key"], timeout=timeout, name=HERE) as session,
    ):
        yield ThisMachine(session)


@contextmanager
def _server(folder: Path) -> Iterator[dict]:
    command = [sys.executable, "-m", "intbert.rpc.on_board.server", "--store", str(folder / "store")]
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--end-with-parent"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # an interrupt from the keyboard is the caller's to handle
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()  # it prints one, or ends
        if not line:
            words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise RemoteError(f"the server on this machine does not start: {words[-1] if words else 'it said nothing'}")
        yield json.loads(line)
    finally:
        process.stdout.close()
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
