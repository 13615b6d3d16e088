"""A server on this machine: the same code that runs on a board, without a board."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from .server_process import ServerProcess, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    running = start_server([sys.executable], tmp_path_factory.mktemp("server"))
    yield running
    running.stop()
