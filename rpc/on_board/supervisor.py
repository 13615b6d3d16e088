"""What a host starts on a board, over ssh: ``python -m intbert.rpc.on_board.supervisor --home DIR --session NAME``.

It takes the board's lease, starts the server (:mod:`.server`) in a process group of its own, and hands on the server's
first line of output, which says where to connect. While its standard input brings bytes the host lives. When the input
closes, or is silent for too long, or the server dies, the whole group ends and the session's files are deleted.
Whoever finds the board taken gets another first line, ``{"busy": {"name": ..., "since": ...}}``, and status 3.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from .lease import Lease
from .parent_death import die_with_parent

SILENCE_SECONDS = 20.0
"""A host from which nothing comes for so long is gone, though the network did not say so."""
POLL_SECONDS = 0.5
BUSY = 3
"""Exit status."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m intbert.rpc.on_board.supervisor", description="server with a lease"
    )
    parser.add_argument("--home", type=Path, required=True, help="intbert's folder on this board")
    parser.add_argument("--session", required=True, type=_name, help="a name that no other session has")
    parser.add_argument("--holder", default="somebody", help="who wants the board, in words")
    parser.add_argument("--wait", type=float, default=5.0, help="seconds to wait for the lease")
    options = parser.parse_args(arguments)
    lease = Lease(options.home)
    other = lease.acquire(options.holder, options.wait)
    if other is not None:
        print(json.dumps({"busy": asdict(other)}), flush=True)
        return BUSY
    sessions = options.home / "sessions"
    shutil.rmtree(sessions, ignore_errors=True)  # of a session whose supervisor was killed
    folder = sessions / options.session
    folder.mkdir(parents=True)
    supervisor = os.getpid()
    server = os.fork()
    if server == 0:
        os.setpgid(0, 0)
        die_with_parent(supervisor)
        _serve(lease, options.home, folder)
    with suppress(OSError):  # the child has done so itself, or is gone
        os.setpgid(server, server)  # here too: the group must be there when it has to be ended
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the closing input tells it too
    try:
        status = _supervise(server)
    except KeyboardInterrupt:
        status = 0
    finally:
        _end(server)
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _serve(lease: Lease, home: Path, folder: Path) -> NoReturn:
    """The child: becomes the server, in a process group of its own."""
    lease.close_in_child()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ["TMPDIR"] = str(folder)
    from . import server

    server.main(["--store", str(home / "store")])


def _supervise(server: int) -> int:
    """Waits for the end of the host or of the server; returns the exit status."""
    silent = 0.0
    while True:
        readable, _, _ = select.select([0], [], [], POLL_SECONDS)
        if readable:
            if not os.read(0, 1 << 16):
                return 0
            silent = 0.0
        else:
            silent += POLL_SECONDS
        if silent >= SILENCE_SECONDS:
            return 0
        if os.waitid(os.P_PID, server, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return 1


def _end(server: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(server, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(server, 0)


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]{1,64}", text):
        raise argparse.ArgumentTypeError("letters and digits")
    return text


if __name__ == "__main__":
    sys.exit(main())
