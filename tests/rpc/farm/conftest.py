"""A farm on this machine: a tracker, and processes around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from intbert.rpc.devices.inventory import Inventory
from intbert.rpc.farm.endpoint import Endpoint
from intbert.rpc.sessions.board_session import Terms

from .processes import SECONDS, FarmProcesses
from .processes import farm as farm


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Where a tracker listens; it has no board when a test begins."""
    processes = FarmProcesses(tmp_path_factory.mktemp("tracker"))
    yield processes.tracker()["tracker"]
    processes.close()


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    """Patience for a busy machine."""
    return Terms(Inventory(tmp_path / "devices"), wait=SECONDS, timeout=SECONDS)
