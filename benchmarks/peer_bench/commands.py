"""Runs one preparing command, its output in a log file."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import BenchmarkError


def last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


def run_logged(command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run to the end.

    Raises:
        BenchmarkError: it cannot be started or failed, with the last line it printed and where the rest is.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    with log.open("wb") as output:
        try:
            status = subprocess.run(words, stdout=output, stderr=subprocess.STDOUT, env=env, check=False).returncode
        except OSError as error:
            raise BenchmarkError(f"cannot run {words[0]}: {error.strerror}; `make` sets it up") from error
    if status:
        raise BenchmarkError(f"{Path(words[0]).name} {words[1]} failed ({status}): {last_line(log)} (all of it: {log})")
