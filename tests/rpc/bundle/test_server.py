"""The server's loop, with clients of every kind; what it answers is the line in capitals."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from intbert.rpc.bundle.client import MOST_BYTES
from intbert.rpc.bundle.server import Server

SECONDS = 60.0
Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Connects a new client; the server takes four at a time."""
    path = str(tmp_path / "socket")
    clients: list[socket.socket] = []
    stop, stopping = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as listener, stop, stopping:
        listener.bind(path)
        listener.listen(16)
        server = Server(listener, lambda line: line.upper() + b"\n", most_clients=4)
        thread = threading.Thread(target=server.serve, args=[stop], daemon=True)
        thread.start()

        def connected() -> socket.socket:
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.settimeout(SECONDS)
            client.connect(path)
            return client

        yield connected
        stopping.send(b"x")
        thread.join(SECONDS)
        assert not thread.is_alive()
        for client in clients:
            client.close()


def line(client: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        part = client.recv(1)
        if not part:
            return data
        data += part
    return data


def ask(client: socket.socket, request: bytes) -> bytes:
    client.sendall(request + b"\n")
    return line(client)


def test_several_clients_in_any_order(connect: Connect) -> None:
    one, two = connect(), connect()
    assert ask(two, b"a") == b"A\n"
    one.sendall(b"b\n")
    two.sendall(b"c\n")
    assert line(two) == b"C\n"
    assert line(one) == b"B\n"
    assert ask(one, b"d") == b"D\n"


def test_a_request_in_pieces_and_several_at_once(connect: Connect) -> None:
    one, two = connect(), connect()
    one.sendall(b"he")
    assert ask(two, b"meanwhile") == b"MEANWHILE\n"
    one.sendall(b"llo\nnext\n\nla")
    assert [line(one), line(one), line(one)] == [b"HELLO\n", b"NEXT\n", b"\n"]
    one.sendall(b"st\n")
    assert line(one) == b"LAST\n"


def test_a_client_that_sends_no_more_gets_its_answers(connect: Connect) -> None:
    client = connect()
    client.sendall(b"a\nb")
    client.shutdown(socket.SHUT_WR)
    assert [line(client), line(client), line(client)] == [b"A\n", b"B\n", b""]


def test_clients_that_hang_up(connect: Connect) -> None:
    for sent in (b"", b"half", b"whole\n", b"one\ntwo\nthree\n" * 1000):
        client = connect()
        client.sendall(sent)
        client.close()
    assert ask(connect(), b"still there") == b"STILL THERE\n"


def test_a_client_that_takes_no_answers(connect: Connect) -> None:
    """It is read from no more, so what it sends piles up at its own end."""
    deaf, other = connect(), connect()
    request = b"x" * (MOST_BYTES // 4) + b"\n"
    deaf.sendall(request)
    deaf.setblocking(False)
    with pytest.raises(BlockingIOError):
        deaf.sendall(request * 100)
    assert ask(other, b"a") == b"A\n"
    deaf.setblocking(True)
    deaf.settimeout(SECONDS)
    assert line_of(deaf, len(request)) == request.upper()


def line_of(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += client.recv(count - len(data))
    return data


@pytest.mark.parametrize("excess", [1, 3 * MOST_BYTES], ids=["just", "far"])
def test_a_request_that_is_too_long(connect: Connect, excess: int) -> None:
    client = connect()
    client.sendall(b"x" * (MOST_BYTES + excess))
    client.sendall(b"\nnext\n")
    assert f"more than {MOST_BYTES} bytes" in json.loads(line(client))["error"]
    assert line(client) == b"NEXT\n"


def test_the_longest_request(connect: Connect) -> None:
    client = connect()
    client.sendall(b"x" * MOST_BYTES + b"\n")
    assert line_of(client, MOST_BYTES + 1) == b"X" * MOST_BYTES + b"\n"


def test_the_client_that_was_silent_for_the_longest_time_makes_room(connect: Connect) -> None:
    first, silent, third, fourth = (connect() for _ in range(4))
    for client in (silent, first, third, fourth):
        assert ask(client, b"a") == b"A\n"
    fifth = connect()
    assert ask(fifth, b"b") == b"B\n"
    assert line(silent) == b""
    assert [ask(client, b"c") for client in (first, third, fourth, fifth)] == [b"C\n"] * 4
