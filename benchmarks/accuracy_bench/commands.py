"""Runs ``intbert`` as its user would: one process a command, its output kept in a log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import TableError


@dataclass(frozen=True)
class Run:
    """A command that succeeded: how it was called, how long it took, and the document that it printed."""

    command: str
    seconds: float
    document: Mapping[str, Any]


class Intbert:
    """``intbert`` of the interpreter that runs this; what it writes on stderr goes to ``log``."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __call__(self, *arguments: object) -> Run:
        """Runs ``intbert ARGUMENTS --json``; TableError with its message when it fails."""
        given = [str(argument) for argument in arguments]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        with self._log.open("ab") as log:
            log.write(f"$ intbert {' '.join(given)}\n".encode())
            log.flush()
            done = subprocess.run(
                [sys.executable, "-m", "intbert.cli.main", *given, "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
            )
        if done.returncode:
            raise TableError(f"`intbert {' '.join(given)}` failed: {last_line(self._log)} (all of it: {self._log})")
        return Run(shown(given), time.perf_counter() - start, json.loads(done.stdout))


def last_line(path: Path) -> str:
    """The last line of a log that says something."""
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def shown(arguments: Sequence[str]) -> str:
    """The command as a line, absolute paths cut to their last parts."""
    return " ".join(["intbert", *(_short(argument) for argument in arguments)])


def _short(argument: str) -> str:
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return path.name if path.parent.name in ("", "tmp") else f"{path.parent.name}/{path.name}"
