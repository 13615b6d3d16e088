"""Fixtures that give tests an aarch64 board, made of QEMU's user-mode emulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ..compiler.toy_artifact import build_toy
from ..rpc.farm.processes import farm as farm
from .desk import Desk
from .ssh_board import SshBoard, start_ssh_board
from .unavailable import UnavailableError, skip_or_fail
from .userland import Userland, get_userland
from .virtual_board import VirtualBoard, start_board

Boards = Callable[[str], VirtualBoard]
SshBoards = Callable[[str], SshBoard]


@pytest.fixture(scope="session")
def userland() -> Userland:
    """The emulated aarch64 userland: Python, NumPy, tokenizers, TVM's runtime, this project's sources."""
    try:
        return get_userland()
    except UnavailableError as reason:
        skip_or_fail(reason)


@pytest.fixture(scope="session")
def boards(userland: Userland, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boards]:
    """``boards("cortex-a72")``: a running board with this CPU; it serves until the end of the test run."""
    running: dict[str, VirtualBoard] = {}

    def board(cpu: str) -> VirtualBoard:
        if cpu not in running:
            running[cpu] = start_board(userland, cpu, tmp_path_factory.mktemp(cpu))
        return running[cpu]

    yield board
    for each in running.values():
        each.stop()


@pytest.fixture(scope="session")
def ssh_boards(userland: Userland, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshBoards]:
    """``ssh_boards("cortex-a72")``: a running board with this CPU behind sshd; it is up until the end of the run.

    Tests share it: they leave it running, with the keys that they found.
    """
    with starting_ssh_boards(userland, tmp_path_factory) as board:
        yield board


@contextmanager
def starting_ssh_boards(userland: Userland, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshBoards]:
    """Starts each board when it is first asked for; at the end nothing of any of them runs."""
    running: dict[str, SshBoard] = {}
    with ExitStack() as stack:

        def board(cpu: str) -> SshBoard:
            if cpu not in running:
                try:
                    running[cpu] = start_ssh_board(userland, cpu, tmp_path_factory.mktemp(f"ssh-{cpu}"))
                except UnavailableError as reason:
                    skip_or_fail(reason)
                stack.callback(running[cpu].stop)
            return running[cpu]

        yield board
    assert {cpu: each.left_behind() for cpu, each in running.items()} == {cpu: [] for cpu in running}


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A user's home on this machine; tests that need one sit down at it with ``seated``."""
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def seated(desk: Desk) -> Iterator[None]:
    """This process is the desk's user during the test."""
    with desk.seated():
        yield


@pytest.fixture(scope="session")
def pi(desk: Desk, ssh_boards: SshBoards) -> SshBoard:
    """A Raspberry Pi 4 that was added as "pi", once for all tests."""
    board = ssh_boards("cortex-a72")
    with desk.seated():
        desk.know(board, "pi4")
        assert desk.json("device", "add", "pi4", "--name", "pi")["installed"]
    return board


@pytest.fixture
def five(desk: Desk, ssh_boards: SshBoards, seated: None) -> SshBoard:
    """A Raspberry Pi 5 that is there as "five"; it is added when the first test needs it."""
    board = ssh_boards("cortex-a76")
    desk.know(board, "pi5")
    desk.json("device", "add", "pi5", "--name", "five")
    return board


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that every 64-bit Arm board can run."""
    return build_toy(tmp_path_factory.mktemp("toy") / "artifact", target_name="aarch64")
