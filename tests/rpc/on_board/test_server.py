"""The server as a process: where it listens, how it ends."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from intbert.errors import RemoteError
from intbert.rpc.on_board.server import Server, main

from ..server_process import STOP_SECONDS, start_server


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost", ""])
def test_only_loopback_addresses(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=re.escape(f"refusing to listen on {host!r}")):
        main(["--host", host])
    assert capsys.readouterr().out == ""


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RemoteError, match=f"cannot listen on 127.0.0.1 port {port}: .*give another port"):
            Server(port=port)


def test_termination_leaves_nothing(tmp_path: Path) -> None:
    server = start_server([sys.executable], tmp_path)
    try:
        with server.connect() as session:
            session.features()
            (child,) = psutil.Process(server.process.pid).children()
            assert list((tmp_path / "sessions").iterdir())
            server.process.terminate()
            assert server.process.wait(STOP_SECONDS) == 0
            psutil.wait_procs([child], STOP_SECONDS)
            assert not child.is_running()
            assert list((tmp_path / "sessions").iterdir()) == []
            with pytest.raises(RemoteError):
                session.features()
    finally:
        server.stop()


def test_a_board_needs_no_tvm_package_and_no_torch(tmp_path: Path) -> None:
    """The modules of a session's process: what a board has to have installed."""
    code = (
        "import sys; from intbert.rpc.on_board import board, server; from intbert.compiler import runtime; "
        "server.tvm_runtime(); print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )
    assert {"tvm", "torch", "transformers", "pydantic"}.isdisjoint(done.stdout.split())
