"""The process behind :class:`intbert.rpc.sessions.relay.Relay`; a program, with nothing but the standard library.

    relay_process.py HOST PORT SECONDS

Connects to HOST PORT, prints the number of a loopback port, accepts one connection of its own user there, and
carries bytes both ways. Its standard input takes lines: ``limit SECONDS`` starts a clock, ``done`` stops it. It
ends, with a status that says why, when the clock runs out, when either connection closes, or when its input does.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

CLOSED = 0
"""Exit status: one of the two ends closed the connection, or the input closed."""
UNREACHABLE = 2
"""Exit status: nobody listens at HOST PORT; why is on stderr."""
EXPIRED = 3
"""Exit status: the clock ran out."""

CHUNK = 1 << 16
MOST_PENDING = 1 << 20
"""Bytes that wait for a slow reader before no more are taken from its peer."""
FLUSH_SECONDS = 5.0


def main(host: str, port: int, seconds: float) -> int:
    """Runs the relay; ``seconds`` bound each of connecting and being connected to."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        try:
            remote = socket.create_connection((host, port), timeout=seconds)
        except OSError as error:
            print(error, file=sys.stderr)
            return UNREACHABLE
        print(listener.getsockname()[1], flush=True)
        try:
            local = accept_own(listener, seconds)
        except TimeoutError:
            return EXPIRED
    for end in (local, remote):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setblocking(False)
    try:
        return carry(local, remote, control=0)
    except ConnectionError:
        return CLOSED


def accept_own(listener: socket.socket, seconds: float | None) -> socket.socket:
    """The next connection that a process of this user makes; others are closed at once.

    A loopback port is open to every user of the machine. TimeoutError when none comes within ``seconds``.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        listener.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
        connection, peer = listener.accept()
        if owner(peer, listener.getsockname()) == os.geteuid():
            connection.settimeout(None)
            return connection
        connection.close()


def owner(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The user whose IPv4 socket is connected from ``local`` to ``remote`` on this machine, by Linux's own table."""
    wanted = [_as_in_proc(*local), _as_in_proc(*remote)]
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 - pathlib costs the relay its quick start
        for row in table:
            columns = row.split()
            if columns[1:3] == wanted:
                return int(columns[7])
    return None


def _as_in_proc(host: str, port: int) -> str:
    """``0100007F:1F90``: the address as a number in the machine's byte order, and the port."""
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


def carry(local: socket.socket, remote: socket.socket, control: int, idle: float = float("inf")) -> int:
    """Carries bytes between the two until there is a reason to end, which it returns.

    ``idle``: seconds in which no byte is carried that count as the clock's end.
    """
    peer = {local: remote, remote: local}
    pending = {local: bytearray(), remote: bytearray()}
    deadline = float("inf")
    silence = time.monotonic() + idle
    while True:
        readers = [end for end in peer if len(pending[peer[end]]) < MOST_PENDING]
        writers = [end for end in peer if pending[end]]
        soonest = min(deadline, silence)
        wait = None if soonest == float("inf") else max(0.0, soonest - time.monotonic())
        readable, writable, _ = select.select([control, *readers], writers, [], wait)
        if readable or writable:
            silence = time.monotonic() + idle
        if control in readable:
            orders = os.read(control, 4096).decode().splitlines()
            if not orders:
                return CLOSED
            word, _, seconds = orders[-1].partition(" ")
            deadline = time.monotonic() + float(seconds) if word == "limit" else float("inf")
        if time.monotonic() >= min(deadline, silence):
            return EXPIRED
        for end in writable:
            del pending[end][: end.send(pending[end])]
        for end in readers:
            if end not in readable:
                continue
            data = end.recv(CHUNK)
            if not data:
                flush(peer[end], pending[peer[end]])
                return CLOSED
            pending[peer[end]] += data


def flush(end: socket.socket, data: bytearray) -> None:
    """Writes what the other end said before it closed."""
    end.settimeout(FLUSH_SECONDS)
    end.sendall(data)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
