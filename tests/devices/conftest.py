"""Fixtures that give tests an aarch64 board, made of QEMU's user-mode emulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .unavailable import UnavailableError, skip_or_fail
from .userland import Userland, get_userland
from .virtual_board import VirtualBoard, start_board

Boards = Callable[[str], VirtualBoard]


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
