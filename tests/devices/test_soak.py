"""Many sessions in a row, in a third of them a process of the board killed at random. `make soak` does 200."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from intbert.errors import RemoteError
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark.on_device import bench

from .desk import SECONDS, Desk
from .ssh_board import SshBoard

SESSIONS = int(os.environ.get("INTBERT_SOAK_SESSIONS", "6"))
LATEST_KILL_SECONDS = 6.0
"""After the session's begin: the whole of it is hit, logging in and starting included."""


@pytest.mark.usefixtures("seated")
def test_sessions_end_in_time_and_leak_nothing(desk: Desk, pi: SshBoard, toy: Path) -> None:
    choose = random.Random(0)
    plan = Plan(most_runs=5, least_runs=5, warmup=1)
    before, outcomes = state(pi), {"result": 0, "typed error": 0}
    for index in range(SESSIONS):
        killer = threading.Timer(choose.uniform(0.0, LATEST_KILL_SECONDS), kill_one, (pi, choose.random()))
        if index % 3 == 0:
            killer.start()
        start = time.monotonic()
        try:
            bench(toy, "pi", plan, desk.terms(), patience=0.0)
            outcomes["result"] += 1
        except RemoteError:
            outcomes["typed error"] += 1
        finally:
            killer.cancel()
        assert time.monotonic() - start < SECONDS
    print(f"{SESSIONS} sessions: {outcomes}")
    assert outcomes["result"] >= SESSIONS * 2 // 3
    deadline = time.monotonic() + SECONDS
    while state(pi) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert state(pi) == before


def kill_one(board: SshBoard, which: float) -> None:
    """Kills one of the processes that run on the board, if any do."""
    victims = sorted(process.pid for process in board.processes())
    if victims:
        with suppress(ProcessLookupError):
            os.kill(victims[int(which * len(victims))], signal.SIGKILL)


def state(board: SshBoard) -> dict[str, object]:
    """What a leak would change: processes, ports and files, on the board and here."""
    folder = board.home / ".intbert"
    return {
        "processes of the board": len(board.processes()),
        "its ports": board.listening_ports(),
        "its sessions": sorted(path.name for path in (folder / "sessions").glob("*")),
        "its folder": sorted(path.name for path in folder.iterdir() if path.name not in ("lease", "store", "sessions")),
        "pieces in its store": sorted(path.name for path in (folder / "store").glob("*.partial")),
        "its /tmp": sorted(path.name for path in (board.machine.folder / "tmp").glob("*")),
        "processes here": sorted(child.pid for child in psutil.Process().children(recursive=True) if is_ours(child)),
        "connections here": len(psutil.Process().net_connections()),
        "threads here": threading.active_count(),
        "descriptors here": psutil.Process().num_fds(),
        "files here": sorted(path.name for path in Path(tempfile.gettempdir()).glob("intbert-*")),
    }


def is_ours(process: psutil.Process) -> bool:
    """Whether the process is one of a session: not the virtual boards themselves."""
    with suppress(psutil.NoSuchProcess):
        return any("intbert" in word for word in process.cmdline())
    return False
