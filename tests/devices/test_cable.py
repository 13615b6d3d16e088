"""The cable that the tests of boards freeze and cut, between a client and a server that echoes."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from .cable import Cable

SECONDS = 20
SILENCE = 0.2
"""How long nothing must come; too short could only hide a failure, never make one."""


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            while data := self.request.recv(1 << 16):
                self.request.sendall(data)


@pytest.fixture
def cable() -> Iterator[Cable]:
    """A cable to a server that echoes until its client's end."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with Cable(("127.0.0.1", server.server_address[1])) as cable:
            yield cable
        server.shutdown()
        thread.join(SECONDS)


def connect(cable: Cable) -> socket.socket:
    return socket.create_connection(("127.0.0.1", cable.port), timeout=SECONDS)


def receive(client: socket.socket, count: int) -> bytes:
    """The next ``count`` bytes; fewer at the connection's end."""
    parts = []
    while count and (part := client.recv(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def test_everything_passes_in_order_and_is_counted(cable: Cable) -> None:
    data = bytes(range(256)) * 8192
    with connect(cable) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert receive(client, len(data)) == data
        sender.join(SECONDS)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert (cable.to_server, cable.to_client) == (len(data), len(data))


def test_frozen_cable_holds_bytes_and_ends_back_until_it_thaws(cable: Cable) -> None:
    with connect(cable) as client:
        client.sendall(b"before")
        assert receive(client, 6) == b"before"
        cable.freeze()
        client.sendall(b"meanwhile")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert cable.to_server == 6
        client.settimeout(SECONDS)
        cable.thaw()
        assert receive(client, 10) == b"meanwhile"


def test_who_connects_to_a_frozen_cable_hears_nothing_until_it_thaws(cable: Cable) -> None:
    cable.freeze()
    with connect(cable) as client:
        client.sendall(b"hello")
        client.settimeout(SILENCE)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(SECONDS)
        cable.thaw()
        assert receive(client, 5) == b"hello"


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_cut_resets_all_connections_and_new_ones_are_made(cable: Cable, frozen: bool) -> None:
    with connect(cable) as first, connect(cable) as second:
        for client in (first, second):
            client.sendall(b"x")
            assert receive(client, 1) == b"x"
        if frozen:
            cable.freeze()
        cable.cut()
        for client in (first, second):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    cable.thaw()
    with connect(cable) as client:
        client.sendall(b"again")
        assert receive(client, 5) == b"again"


def test_cut_after_lets_exactly_that_many_bytes_pass_to_the_server(cable: Cable) -> None:
    with connect(cable) as client:
        client.sendall(b"x" * 10)
        assert receive(client, 10) == b"x" * 10
        cable.cut_after(100)
        client.sendall(b"y" * 99)
        assert receive(client, 99) == b"y" * 99
        client.sendall(b"z" * 1000)
        with pytest.raises(ConnectionResetError):
            receive(client, 1000)
    assert cable.to_server == 110


def test_cut_after_nothing_is_refused(cable: Cable) -> None:
    with pytest.raises(ValueError, match="after 1 byte or more, not 0"):
        cable.cut_after(0)


def test_without_a_server_the_client_is_reset() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        # the reset may come before or after connecting is done
        with Cable(nobody.getsockname()) as cable, pytest.raises(ConnectionResetError), connect(cable) as client:
            client.recv(1)


def test_cable_ends_with_connections_open_and_nothing_listens_then() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with Cable(server.getsockname()) as cable:
            port, client = cable.port, connect(cable)
            accepted, _ = server.accept()
        with client, accepted, pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
