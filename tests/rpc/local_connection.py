"""A board that is this machine: a ``Connection`` of ``rpc.sessions`` whose programs run here, in a home.

What a command does there it does here, through a shell as over ssh. The account's home is a folder of the test's;
everything else is this machine's.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from intbert.errors import RemoteError
from intbert.rpc.sessions.connection import Completed, Progress
from intbert.rpc.ssh import Login

BEAT_SECONDS = 1.0
STOP_SECONDS = 10.0


@dataclass
class LocalConnection:
    """``home``: the account's. ``environment`` is added to what its programs find; ``commands``: what ran so far."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str = "local"
    sent_bytes: int = 0
    commands: list[list[str]] = field(default_factory=list)
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _closed: threading.Event = field(default_factory=threading.Event)

    def run(self, command: Sequence[str], *, input: bytes = b"", seconds: float) -> Completed:
        self._require_open()
        self.commands.append(list(command))
        self.sent_bytes += len(shlex.join(command)) + len(input)
        try:
            done = subprocess.run(
                ["sh", "-c", shlex.join(command)],
                input=input,
                capture_output=True,
                timeout=seconds,
                check=False,
                cwd=self.home,
                env=self._environment(),
            )
        except subprocess.TimeoutExpired:
            raise RemoteError(f"{self.address}: {command[0]}: no answer within {seconds:g} s") from None
        return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def send(self, file: Path, to: str, *, progress: Progress | None = None, seconds: float) -> None:
        self._require_open()
        target, size = self.home / to, file.stat().st_size
        partial = target.with_name(f"{target.name}.partial")
        try:
            shutil.copyfile(file, partial)
            partial.replace(target)
        except OSError as error:
            raise RemoteError(f"{self.address}: sending {file.name} to {to} failed ({error})") from error
        self.sent_bytes += size
        if progress is not None:
            progress(size, size)

    def start(self, command: Sequence[str], *, seconds: float) -> str:
        self._require_open()
        self.commands.append(list(command))
        process = subprocess.Popen(
            ["sh", "-c", f"exec {shlex.join(command)}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.home,
            env=self._environment(),
        )
        self._started.append(process)
        threading.Thread(target=self._beat, args=[process], daemon=True).start()
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(seconds) else b""
        if not line:
            raise RemoteError(f"{self.address}: {command[0]} printed no line within {seconds:g} s")
        return line.decode().rstrip("\n")

    def forward(self, port: int, *, seconds: float) -> int:
        self._require_open()
        return port

    def close(self) -> None:
        self._closed.set()
        for process in self._started:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self._started.clear()

    def _beat(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with suppress(OSError, ValueError):  # it ended, or its input was closed
            while not self._closed.is_set():
                process.stdin.write(b"\n")
                process.stdin.flush()
                self._closed.wait(BEAT_SECONDS)

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        return {**inherited, "HOME": str(self.home), "TVM_NUM_THREADS": "1", **self.environment}

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise RemoteError(f"{self.address}: the connection is closed; connect again")


@dataclass
class LocalBoard:
    """Makes connections to one home on this machine; ``connections`` are those that it made."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    connections: list[LocalConnection] = field(default_factory=list)

    def connect(self, login: Login, seconds: float) -> LocalConnection:
        """Stands for ``SshConnection``."""
        connection = LocalConnection(self.home, self.environment, str(login.address))
        self.connections.append(connection)
        return connection
