"""A :class:`..connection.Connection` over ssh: this side of the process that owns it."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from ... import errors
from ..sessions.connection import Completed, Progress
from .login import Login

MARGIN_SECONDS = 10.0
"""What the process may take beyond the limit that it keeps itself."""
SILENCE_SECONDS = 15.0
"""ssh asks the board every few seconds; TCP alone would wait for many minutes."""
STEPS_OF_CONNECTING = 4
"""The TCP connection, the greeting, the keys and the login each have the limit."""
STOP_SECONDS = 1.0


class SshConnection:
    """Logs in to a board; ``seconds`` bound each step of it, ``silence`` is how long a living board may say nothing.

    Raises:
        DeviceError: the ssh configuration makes no sense.
        HostKeyError, AuthenticationError, RemoteError: see :class:`.client.SshClient`.
    """

    def __init__(self, login: Login, seconds: float = 20.0, silence: float = SILENCE_SECONDS) -> None:
        self.address = str(login.address)
        ours, theirs = socket.socketpair()
        self._pipe = Pipe(ours.detach())
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "intbert.rpc.ssh.process", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # an interrupt from the keyboard is not for it
            )
        self._sent = 0
        try:
            self._pipe.send((login, seconds, silence))
            self._answer("connecting", None, seconds * STEPS_OF_CONNECTING)
        except BaseException:
            self.close()
            raise

    @property
    def sent_bytes(self) -> int:
        """See :class:`..connection.Connection`; of a connection that is closed, what it was."""
        if not self._pipe.closed:
            self._sent = self._request("sent_bytes", 0)
        return self._sent

    def run(self, command: Sequence[str], *, input: bytes = b"", seconds: float) -> Completed:
        """See :class:`..connection.Connection`."""
        return self._request("run", seconds, shlex.join(command), input, seconds)

    def send(self, file: Path, to: str, *, progress: Progress | None = None, seconds: float) -> None:
        """See :class:`..connection.Connection`."""
        self._request("send", seconds, file, to, seconds, progress=progress)

    def start(self, command: Sequence[str], *, seconds: float) -> str:
        """See :class:`..connection.Connection`."""
        return self._request("start", seconds, shlex.join(command), seconds)

    def forward(self, port: int, *, seconds: float) -> int:
        """See :class:`..connection.Connection`."""
        return self._request("forward", seconds, port, seconds)

    def close(self) -> None:
        """See :class:`..connection.Connection`."""
        self._pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._process.kill()
        self._process.wait()

    def _request(self, operation: str, seconds: float, *arguments: Any, progress: Progress | None = None) -> Any:
        if self._pipe.closed:
            raise errors.RemoteError(f"{self.address}: the connection is closed; connect again")
        try:
            self._pipe.send((operation, arguments))
        except OSError:
            raise self._lost(operation) from None
        return self._answer(operation, progress, seconds)

    def _answer(self, operation: str, progress: Progress | None, seconds: float) -> Any:
        """The next answer that is no progress; each part of it has the limit, and a margin."""
        while True:
            try:
                if not self._pipe.poll(seconds + MARGIN_SECONDS):
                    self.close()  # a late answer must not be taken for that to the next request
                    raise errors.RemoteError(f"{self.address}: {operation}: no answer within {seconds:g} s; try again")
                kind, *values = self._pipe.recv()
            except (EOFError, OSError):
                raise self._lost(operation) from None
            if kind == "done":
                return values[0]
            if kind == "error":
                name, message = values
                raise getattr(errors, name, errors.RemoteError)(message)
            if progress is not None:
                progress(*values)

    def _lost(self, operation: str) -> errors.RemoteError:
        return errors.RemoteError(f"{self.address}: {operation}: the connection's process ended; connect again")
