"""Package indexes, asked by pip for a board's wheels."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from ...errors import OutputError, RemoteError, ToolchainError
from .platform import BoardPlatform, dotted

SECONDS = 1800
"""For one package: apache-tvm is 95 MB, and not every line is fast."""

_NO_WHEEL = re.compile(r"No matching distribution found|ResolutionImpossible")
_NETWORK = r"connection broken|Could not fetch URL|timed out|HTTP error|ConnectionError|ProxyError|[Ii]ncomplete"
_FAILURES = (
    (re.compile(_NETWORK), RemoteError),
    (re.compile(r"No space left on device|Permission denied|Read-only file system"), OutputError),
)
"""A line of pip -> what happened. The first that is found counts: at the end of its report pip says only that there
is no wheel, even where it reached no index."""
_HINTS = {
    RemoteError: "no index reachable? connect this machine to a network, or set pip's index-url or proxy",
    OutputError: "make room where the wheels are kept, or name another folder in XDG_CACHE_HOME",
    ToolchainError: "run the same `pip download` by hand to see more",
}


class Index(Protocol):
    """Where wheels come from. Both calls raise RemoteError when no index is reachable, ToolchainError without pip."""

    def download(self, requirement: str, platform: BoardPlatform, folder: Path) -> Path | None:
        """Writes the wheel that fits ``requirement`` and ``platform`` best into ``folder``; None: there is none."""
        ...

    def find(self, requirement: str, platform: BoardPlatform) -> str | None:
        """The file name of the wheel that :meth:`download` would write."""
        ...


@dataclass(frozen=True)
class PipIndex:
    """The indexes of this user's pip; of each call, at most ``seconds``."""

    seconds: float = SECONDS

    def download(self, requirement: str, platform: BoardPlatform, folder: Path) -> Path | None:
        """As :meth:`Index.download`."""
        # pip's own temporary files go where ours are, so that they vanish together.
        output = self._run(["download", f"--dest={folder}", requirement], platform, {"TMPDIR": str(folder)})
        return None if output is None else next(folder.glob("*.whl"))

    def find(self, requirement: str, platform: BoardPlatform) -> str | None:
        """As :meth:`Index.find`."""
        # Never written: a dry run. Without it, pip takes no other platform than this one.
        target = f"--target={os.devnull}/nowhere"
        command = ["install", "--dry-run", "--ignore-installed", "--report=-", target, requirement]
        output = self._run(command, platform, {})
        if output is None:
            return None
        (found,) = json.loads(output)["install"]
        return unquote(found["download_info"]["url"].rpartition("/")[2])

    def _run(self, command: Sequence[str], platform: BoardPlatform, environment: dict[str, str]) -> str | None:
        """What pip prints; None where no wheel fits."""
        if importlib.util.find_spec("pip") is None:
            raise ToolchainError(
                f"pip downloads the board's wheels, and {sys.executable} has none; run `{sys.executable} -m ensurepip`"
            )
        options = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]
        options += ["--only-binary=:all:", "--implementation=cp", f"--python-version={dotted(platform.python)}"]
        options += [f"--platform={tag}" for tag in platform.tags()]
        whole = [sys.executable, "-m", "pip", command[0], *options, *command[1:]]
        try:
            done = subprocess.run(
                whole,
                capture_output=True,
                text=True,
                timeout=self.seconds,
                check=False,
                env={**os.environ, **environment},
            )
        except subprocess.TimeoutExpired:
            raise RemoteError(
                f"{command[-1]} was not downloaded within {self.seconds:g} s; try again with a faster network"
            ) from None
        return done.stdout if done.returncode == 0 else _failure(command[-1], done.stderr)


def _failure(requirement: str, report: str) -> None:
    """Raises what pip's report tells of, unless that is only that there is no wheel."""
    lines = [line.strip() for line in report.splitlines() if line.strip()] or ["it said nothing"]
    for pattern, kind in _FAILURES:
        telling = [line for line in lines if pattern.search(line)]
        if telling:
            raise kind(_message(requirement, telling[-1], kind))
    if not _NO_WHEEL.search(report):
        errors = [line for line in lines if line.startswith("ERROR:")] or lines
        raise ToolchainError(_message(requirement, errors[-1], ToolchainError))


def _message(requirement: str, line: str, kind: type[Exception]) -> str:
    return f"pip cannot download {requirement} for the board ({line[:300]}); {_HINTS[kind]}"
