"""Waiting for the end of processes that are not our children."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil


def kill_all(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Kills processes, and waits until none runs; TimeoutError after ``seconds``."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_all(processes, seconds)


def wait_all(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Waits until none of ``processes`` runs; TimeoutError after ``seconds``.

    A zombie has ended: it belongs to this machine's first process by then, which takes its time in some containers.
    """
    deadline = time.monotonic() + seconds
    running = list(processes)
    while running := [process for process in running if _runs(process)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s these still run: {running}")
        time.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    try:
        # is_running: its number may have gone to another process
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
