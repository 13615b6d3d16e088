"""The RPC server that runs on a board: ``python -m intbert.rpc.on_board.server``.

It speaks TVM's RPC protocol, but needs only tvm-ffi and TVM's runtime library: TVM's own server imports the
whole of ``tvm`` in two processes. TVM's RPC lets a client run anything, so the server listens on a loopback
address only and asks for a key, random for each start, that it prints in its first line of output:

    {"host": "127.0.0.1", "port": 40123, "key": "..."}

One session at a time, each in a process of its own: a crash costs the session, not the server, and no
measurement disturbs another. A session whose client is gone is ended, whatever it is doing.
"""

from __future__ import annotations

import argparse
import hmac
import ipaddress
import json
import logging
import multiprocessing
import os
import secrets
import select
import signal
import socket
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

from ...compiler.runtime.library import tvm_runtime
from ...errors import IntbertError, RemoteError
from ..sessions.protocol import (
    ACCEPTED,
    MAGIC,
    PROCESS_DIED,
    WRONG_KEY,
    receive_integer,
    receive_text,
    send_integer,
    send_text,
)
from .parent_death import die_with_parent

HANDSHAKE_SECONDS = 10.0
"""A client that connects and says nothing is dropped after this time."""

GRACE_SECONDS = 2.0
"""Time that a session has to end by itself once its client is gone."""

log = logging.getLogger("intbert.rpc.on_board.server")


class Server:
    """Listens on a loopback address and serves one session after the other.

    Args:
        host: a loopback address, as digits.
        port: 0 takes a free one.
        key: what clients must present; None draws a random one.
        store: the folder in which uploaded files are kept from session to session; None forgets them.

    Raises:
        RemoteError: the address is not a loopback one, or cannot be bound.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, key: str | None = None, store: Path | None = None
    ) -> None:
        _require_loopback(host)
        self.store = store
        self.host = host
        self.key = key or secrets.token_hex(16)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, port), family=family)
        except OSError as error:
            raise RemoteError(f"cannot listen on {host} port {port}: {error.strerror}; give another port") from error
        self.port: int = self._listener.getsockname()[1]

    def ready_line(self) -> str:
        """The JSON line that tells the other end of the pipe where to connect."""
        return json.dumps({"host": self.host, "port": self.port, "key": self.key})

    def serve_forever(self) -> NoReturn:
        """Serves until the process is told to end."""
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if self._greet(connection):
                    self._serve(connection)

    def _greet(self, connection: socket.socket) -> bool:
        """Performs TVM's handshake; whether the client may go on."""
        connection.settimeout(HANDSHAKE_SECONDS)
        try:
            if receive_integer(connection) != MAGIC:
                return False
            presented = receive_text(connection).split(" ")[0]
            if not hmac.compare_digest(presented.encode(), f"client:{self.key}".encode()):
                send_integer(connection, WRONG_KEY)
                log.warning("refused a client with a wrong key")
                return False
            send_integer(connection, ACCEPTED)
            send_text(connection, "server:intbert")
        except OSError as error:
            log.warning("handshake failed: %s", error)
            return False
        connection.settimeout(None)  # the runtime library reads from the bare descriptor
        return True

    def _serve(self, connection: socket.socket) -> None:
        """Runs one session in a child process, and tells its client when the child died."""
        with tempfile.TemporaryDirectory(prefix="intbert-session-") as folder:
            context = multiprocessing.get_context("fork")
            arguments = (os.getpid(), self._listener, connection, Path(folder), self.store)
            child = context.Process(target=_session, args=arguments, daemon=True)
            child.start()
            log.info("session %d begins", child.pid)
            try:
                _wait(child, connection)
            finally:
                child.kill()
                child.join()
        log.info("session %d ended with %s", child.pid, child.exitcode)
        if child.exitcode:
            _report(connection, f"{PROCESS_DIED} ({_cause(child.exitcode)})")


def _wait(child: BaseProcess, connection: socket.socket) -> None:
    """Waits until ``child`` ends; when the client hangs up first, gives the child only a short time more."""
    poll = select.poll()
    poll.register(child.sentinel, select.POLLIN)
    poll.register(connection, select.POLLRDHUP)
    poll.poll()
    child.join(GRACE_SECONDS)


def _session(server: int, listener: socket.socket, connection: socket.socket, folder: Path, store: Path | None) -> None:
    """The child: answers the client until it shuts the session down."""
    from .board import Board, register
    from .store import Store

    die_with_parent(server)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    listener.close()
    register(Board(folder / "files", Store(store or folder / "store")))
    tvm_runtime().get_global_func("rpc.ServerLoop")(connection.fileno())


def _report(connection: socket.socket, message: str) -> None:
    """Answers the call that the client is waiting for, if it is still there, with an exception."""
    log.warning("%s", message)
    answer = tvm_runtime().get_global_func("rpc.ReturnException")
    try:
        answer(connection.fileno(), message)
        # closing with unread bytes would reset the connection, and the message with it
        while connection.recv(1 << 16, socket.MSG_DONTWAIT):
            pass
    except (OSError, RuntimeError) as error:
        log.debug("nothing more to read: %s", error)


def _cause(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"


def _require_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise RemoteError(
            f"refusing to listen on {host!r}: whoever reaches this server can run anything; "
            "use 127.0.0.1 and come through ssh"
        )


def _end(*_: object) -> NoReturn:
    sys.exit(0)


def main(arguments: list[str] | None = None) -> NoReturn:
    """The command line: prints the ready line, then serves; exits with 1 and one line when it cannot."""
    parser = argparse.ArgumentParser(prog="python -m intbert.rpc.on_board.server", description="RPC server of a board")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--store", type=Path, help="folder for files that later sessions may use again")
    parser.add_argument("--end-with-parent", action="store_true", help="end when the process that started this ends")
    options = parser.parse_args(arguments)
    if options.end_with_parent:
        die_with_parent(os.getppid())
    try:
        server = Server(options.host, options.port, store=options.store)
        tvm_runtime()
    except IntbertError as error:
        sys.exit(str(error))
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    print(server.ready_line(), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
