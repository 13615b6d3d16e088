"""A running virtual board: the server of ``intbert.rpc`` inside an emulated userland."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from intbert.rpc.sessions.session import Session

from ..rpc.server_process import ServerProcess, start_server
from .userland import Userland

SECONDS = 120.0
"""Limit on anything that a board does in one go; allows for emulation on a busy machine."""

I8MM_CPU = "max,sve=off,sme=off"
"""QEMU's CPU that has the i8mm instructions; its scalable vectors are nothing that a kernel here asks for."""


@dataclass(frozen=True)
class VirtualBoard:
    """A board whose CPU is ``cpu``; end it with :meth:`stop`."""

    cpu: str
    python: Path
    """The board's Python interpreter, a program of this machine."""
    server: ServerProcess

    def connect(self, timeout: float = SECONDS) -> Session:
        """A new session whose calls may each take ``timeout`` seconds."""
        return self.server.connect(timeout)

    def run_python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the board's Python to its end; CalledProcessError when it fails."""
        return subprocess.run(
            [str(self.python), *arguments], capture_output=True, text=True, timeout=SECONDS, check=True
        )

    def stop(self) -> None:
        """Ends the server and whatever it started."""
        self.server.stop()


def start_board(userland: Userland, cpu: str, folder: Path) -> VirtualBoard:
    """Starts a server on a board with this CPU, its files in ``folder``, and waits until it listens."""
    python = userland.launcher(cpu)
    return VirtualBoard(cpu, python, start_server([str(python)], folder))
