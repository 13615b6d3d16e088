"""Benchmarks of an artifact on devices: sessions opened when they are needed, and again when a board was lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...compiler.artifact import artifact_bytes, opened, read_manifest
from ...errors import CrashError, DeviceError, NoAnswerError, RemoteError
from ..sessions.board_session import Terms
from ..sessions.boards import Boards, Devices, OpenBoard
from ..sessions.remote_artifact import load_on
from . import runner
from .plan import Plan
from .sweep import Cell

RETRY_SECONDS = 5.0
PASSING = (RemoteError, CrashError, NoAnswerError)
"""The kinds of errors, exactly these, that a board which restarts may cause."""


class DeviceBenchmarks:
    """Measures cells of the artifact at ``artifact``; use it as a context manager, or boards stay in use.

    ``patience``: seconds for which a board that was lost, for example because it restarts, is waited for; then the
    cell is tried a second and last time. ``boards``: what opens a session with the device that a cell names.
    """

    def __init__(self, artifact: Path, terms: Terms, patience: float = 120.0, boards: Boards | None = None) -> None:
        self._artifact = artifact
        self._terms = terms
        self._patience = patience
        self._stack = ExitStack()
        self._boards = boards or Devices()
        self._open: tuple[str, OpenBoard] | None = None
        with opened(artifact) as folder:
            self._manifest = read_manifest(folder)

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The measurement of one cell, as JSON. Raises what the session raises."""
        try:
            return self._measure(cell)
        except RemoteError as error:
            self.close()
            if type(error) not in PASSING or not self._comes_back(cell.device, error):
                raise
        return self._measure(cell)

    def close(self) -> None:
        """Ends the session that is open."""
        self._open = None
        self._stack.close()

    def _measure(self, cell: Cell) -> dict[str, Any]:
        board = self._session(cell.device)
        model = load_on(board, self._artifact, cell.plan.threads, self._terms)
        measurement = runner.run(model, cell.plan, self._terms.tell)
        return {
            "device": board.name,
            "target": self._manifest.target.name,
            "scheme": self._manifest.scheme,
            "artifact_bytes": artifact_bytes(self._artifact),
            "sent_bytes": board.sent_bytes,
            "sensors": model.sensors(),
            **measurement.to_json(),
        }

    def _session(self, device: str) -> OpenBoard:
        if self._open is None or self._open[0] != device:
            self.close()
            self._open = device, self._stack.enter_context(self._boards.open(device, self._terms))
        return self._open[1]

    def _comes_back(self, device: str, lost: RemoteError) -> bool:
        """Waits for the board; whether there is a session with it again."""
        self._terms.tell(f"{lost}; waiting for {device}")
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            try:
                self._session(device)
            except (RemoteError, DeviceError) as error:  # a farm does not know boards that are off
                self.close()
                if type(error) not in (*PASSING, DeviceError):
                    return False
                time.sleep(RETRY_SECONDS)
            else:
                return True
        return False

    def __enter__(self) -> DeviceBenchmarks:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def bench(artifact: Path, device: str, plan: Plan, terms: Terms, patience: float = 0.0) -> dict[str, Any]:
    """One measurement on one device, as JSON."""
    with DeviceBenchmarks(artifact, terms, patience) as benchmarks:
        return benchmarks.measure(Cell(device, plan))
