"""The process that owns one ssh connection: ``python -m intbert.rpc.ssh.process DESCRIPTOR``.

TVM's RPC client waits for a board while it holds Python's global lock, so nothing that carries its bytes may live in
its own process. This one takes requests over a pair of sockets: first ``(Login, seconds, silence)``, then
``(operation, arguments)``; it answers each with ``("done", value)`` or ``("error", type, message)``, and before that
with any number of ``("progress", sent, total)``. It ends when the other end closes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from ...errors import IntbertError
from .client import SshClient
from .link import Link


def main(descriptor: int) -> None:
    """Serves until the other end closes."""
    logging.getLogger("paramiko").addHandler(logging.NullHandler())  # its errors reach the user through ours
    pipe = Pipe(descriptor)
    login, seconds, silence = pipe.recv()
    try:
        link = Link(SshClient(login, seconds), login.address.host, silence)
    except IntbertError as error:
        _refuse(pipe, error)
        return
    pipe.send(("done", None))
    while True:
        operation, arguments = pipe.recv()
        try:
            value = _OPERATIONS[operation](pipe, link, *arguments)
        except IntbertError as error:
            _refuse(pipe, error)
        except Exception as error:  # whatever it was, the other end must not wait for it
            pipe.send(("error", "RemoteError", f"{login.address}: {operation}: {type(error).__name__}: {error}"))
        else:
            pipe.send(("done", value))


def _send(pipe: Pipe, link: Link, file: Path, to: str, seconds: float) -> None:
    link.send(file, to, lambda sent, total: pipe.send(("progress", sent, total)), seconds)


_OPERATIONS: dict[str, Any] = {
    "run": lambda _, link, *arguments: link.run(*arguments),
    "send": _send,
    "start": lambda _, link, *arguments: link.start(*arguments),
    "forward": lambda _, link, *arguments: link.forward(*arguments),
    "sent_bytes": lambda _, link: link.sent_bytes,
}


def _refuse(pipe: Pipe, error: IntbertError) -> None:
    pipe.send(("error", type(error).__name__, str(error)))


if __name__ == "__main__":
    with contextlib.suppress(EOFError, OSError):
        main(int(sys.argv[1]))
    os._exit(0)  # the threads of an ssh connection may wait for a board that is gone
