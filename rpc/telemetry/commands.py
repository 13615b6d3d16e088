"""Running a board's own programs, never for longer than a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

Run = Callable[[Sequence[str]], "str | None"]
"""Runs a program with its arguments; its output, or None where it is absent, fails or takes too long."""

SECONDS = 0.9
LAST_SECONDS = 0.1


def run_command(arguments: Sequence[str]) -> str | None:
    """The standard output of a program, or None where it is absent, fails, or has not ended after a second."""
    import subprocess  # late: most boards need none

    try:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        # A process that hangs in a driver does not even die: it is left behind.
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=LAST_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
        return None
    return output.decode(errors="replace") if process.returncode == 0 else None
