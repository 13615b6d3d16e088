"""The marks between which ``count.c`` counts: system calls that fail and do nothing else."""

import contextlib
import os

START, STOP = 0x1B30, 0x1B31


def mark(number: int) -> None:
    """Tell the counter; without one nothing happens."""
    with contextlib.suppress(OSError):
        os.sched_get_priority_max(number)
