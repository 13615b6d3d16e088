"""A user's desk: a home with an ssh configuration that knows the boards, and the command ``intbert``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from intbert.cli.main import app
from intbert.rpc.devices.device import Device
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.sessions.board_session import Terms
from typer.testing import CliRunner, Result

from .cable import Cable
from .ssh_board import SshBoard
from .userland import CACHE

SECONDS = 120.0
"""Limit on what an emulated board does in one go, on a busy machine."""


@dataclass(frozen=True)
class Desk:
    """``home`` is the user's home on this machine."""

    home: Path

    @property
    def inventory(self) -> Inventory:
        return Inventory(self.home / "devices")

    @contextmanager
    def seated(self) -> Iterator[None]:
        """Makes this process the user's for the block. Wheels that were downloaded once are kept for the next run."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOME", str(self.home))
            patch.setenv("INTBERT_DEVICES", str(self.inventory.folder))
            patch.setenv("XDG_CACHE_HOME", str(CACHE / "cache"))
            yield

    def know(self, board: SshBoard, alias: str, cable: Cable | None = None) -> None:
        """Writes ``alias`` into the ssh configuration; with a ``cable`` it leads to the board through that."""
        folder = self.home / ".ssh"
        folder.mkdir(parents=True, exist_ok=True)
        board.ssh_config(folder / f"{alias}.conf", alias, None if cable is None else cable.port)
        parts = sorted(folder.glob("*.conf"))
        (folder / "config").write_text("".join(part.read_text() for part in parts))

    def intbert(self, *arguments: object) -> Result:
        """The command, in this process."""
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def json(self, *arguments: object) -> Any:
        """The document that a command prints, which must succeed."""
        result = self.intbert(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def refusal(self, *arguments: object) -> str:
        """The one line with which a command fails."""
        result = self.intbert(*arguments)
        assert result.exit_code == 1, result.output
        (line,) = [each for each in result.stderr.splitlines() if each.startswith("intbert: ")]
        return line

    def terms(self, timeout: float = SECONDS) -> Terms:
        """How the tests reach boards."""
        return Terms(self.inventory, timeout=timeout, wait=SECONDS)

    def device(self, name: str) -> Device:
        return self.inventory.get(name)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails when the block takes longer: a bound for what must not hang, not a measurement."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds, f"more than {seconds:g} s"
