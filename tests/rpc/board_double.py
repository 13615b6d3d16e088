"""A board without a board: a ``Connection`` of ``rpc.sessions`` that answers from what a test gives it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from intbert.errors import RemoteError
from intbert.rpc.board_runtime import WheelFile, Wheelhouse
from intbert.rpc.sessions.connection import Completed, Progress
from intbert.rpc.ssh import Login

from .server_process import ServerProcess


@dataclass
class BoardDouble:
    """``report``: what the probe finds; ``server``: a server of this machine that stands for the board's.

    ``commands`` and ``files`` are what it was told to run and was sent; ``busy`` is who has the board.
    """

    report: str
    server: ServerProcess | None = None
    address: str = "double"
    busy: str | None = None
    lost: bool = False
    sent_bytes: int = 4321
    commands: list[list[str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    logins: list[Login] = field(default_factory=list)
    open: int = 0

    def connect(self, login: Login, seconds: float) -> BoardDouble:
        """Stands for ``SshConnection``."""
        if self.lost:
            raise RemoteError(f"{login.address}: cannot connect; is the board on?")
        self.logins.append(login)
        self.open += 1
        return self

    def run(self, command: Sequence[str], *, input: bytes = b"", seconds: float) -> Completed:
        self.commands.append(list(command))
        if list(command) == ["sh", "-s"]:
            return Completed(0, self.report, "")
        if command[:2] == ["test", "-x"]:
            return Completed(0 if self._installed(command[2]) else 1, "", "")
        if "intbert.rpc.on_board.lease" in command:
            return Completed(0, "" if self.busy is None else json.dumps(self._holder()), "")
        return Completed(0, "", "")

    def send(self, file: Path, to: str, *, progress: Progress | None = None, seconds: float) -> None:
        self.files[to] = file.read_bytes()

    def start(self, command: Sequence[str], *, seconds: float) -> str:
        self.commands.append(list(command))
        if self.busy is not None:
            return json.dumps({"busy": self._holder()})
        assert self.server is not None
        return json.dumps({"port": self.server.port, "key": self.server.key})

    def forward(self, port: int, *, seconds: float) -> int:
        return port

    def close(self) -> None:
        self.open -= 1

    def _holder(self) -> dict[str, object]:
        return {"name": self.busy, "since": 0.0}

    def _installed(self, python: str) -> bool:
        """Whether a runtime was moved to where this interpreter is."""
        return any(command[:2] == ["mv", "-T"] and python.startswith(command[3]) for command in self.commands)


def wheelhouse(folder: Path) -> Wheelhouse:
    """Two files that stand for wheels."""
    folder.mkdir(exist_ok=True)
    files = []
    for name in ("pip-1.0-py3-none-any.whl", "thing-2.0-py3-none-any.whl"):
        (folder / name).write_bytes(name.encode())
        files.append(WheelFile(name, folder / name, hashlib.sha256(name.encode()).hexdigest(), len(name)))
    return Wheelhouse(tuple(files), files[0].name)
