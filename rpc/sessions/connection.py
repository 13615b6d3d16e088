"""What the rest of ``rpc`` needs of a way to a board; :mod:`..ssh` is one, tests have another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Progress = Callable[[int, int], None]
"""Is called with the bytes sent so far, and all of them."""


@dataclass(frozen=True)
class Completed:
    """A command that ended on the board."""

    status: int
    output: str
    errors: str


class Connection(Protocol):
    """A way to a board. Every call has a limit in seconds, and raises RemoteError when the board is lost or silent."""

    @property
    def address(self) -> str:
        """The board, in words."""
        ...

    @property
    def sent_bytes(self) -> int:
        """What went through the connection to the board so far, its own overhead included."""
        ...

    def run(self, command: Sequence[str], *, input: bytes = b"", seconds: float) -> Completed:
        """Runs a program there, no shell between, and waits for its end."""
        ...

    def send(self, file: Path, to: str, *, progress: Progress | None = None, seconds: float) -> None:
        """Copies a file to the path ``to`` there, which appears only when it is whole; ``seconds`` bound each wait."""
        ...

    def start(self, command: Sequence[str], *, seconds: float) -> str:
        """Starts a program that lasts as long as the connection; returns the first line that it prints.

        While the connection lives, the program's standard input gets a line every few seconds; then it ends.
        """
        ...

    def forward(self, port: int, *, seconds: float) -> int:
        """A port of this machine's loopback, for this user alone, that leads to ``port`` of the board's."""
        ...

    def close(self) -> None:
        """Ends the connection and what was started through it. Closing twice does no harm."""
        ...
