"""This machine as a board: a server of its own for every session, which ends with it."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.sessions.board_session import Terms
from intbert.rpc.sessions.here import HERE, Here, local_session
from intbert.targets.features import host_arch, host_features

SECONDS = 30.0


def test_a_session_with_this_machine() -> None:
    before = set(psutil.Process().children(recursive=True))
    boards, terms = Here(), Terms(Inventory(), timeout=SECONDS)
    boards.check(HERE, terms)
    with boards.open(HERE, terms) as board:
        found = board.session.features()
        assert (board.name, board.session.address) == (HERE, HERE)
        assert (found.arch, found.features) == (host_arch(), host_features())
        assert board.session.machine()["cores"] == len(psutil.Process().cpu_affinity() or [])
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from intbert.errors import RemoteError

    monkeypatch.setenv("TVM_LIBRARY_PATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RemoteError, match="the server on this machine does not start"), local_session(SECONDS):
        pass


def test_the_server_ends_with_whoever_started_it() -> None:
    program = (
        "from intbert.rpc.sessions.here import local_session\n"
        "with local_session(30.0):\n"
        "    import os, psutil\n"
        "    print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=False)
    started = [int(word) for word in done.stdout.split()]
    assert started
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in started if psutil.pid_exists(pid)], SECONDS)
    assert alive == []
