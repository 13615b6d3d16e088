"""Who may listen where, who may come in, and addresses that lead nowhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from intbert.errors import DeviceError, RemoteError
from intbert.rpc.farm import listener, offer, tracker_protocol
from intbert.rpc.farm.door import Door
from intbert.rpc.farm.endpoint import Endpoint, check_key
from intbert.rpc.farm.gateway import open_session
from intbert.rpc.farm.handshake import answer, present, session_seconds
from intbert.rpc.farm.listener import listen
from intbert.rpc.farm.serving import proxy_offer, tracker_offer
from intbert.rpc.farm.summary import query
from intbert.rpc.farm.tracker import run_tracker
from intbert.rpc.sessions.board_session import BoardServer
from intbert.rpc.sessions.protocol import MAGIC, WRONG_KEY, receive_integer, send_integer

SECONDS = 60.0


@pytest.mark.parametrize("text", ["127.0.0.1:9190", "farm:1", "[::1]:9190"])
def test_endpoints(text: str) -> None:
    assert str(Endpoint.parse(text)) == text


@pytest.mark.parametrize("text", ["", "farm", "farm:", "farm:0", "farm:65536", "farm:x", "me@farm:1", "-o:1", "a b:1"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(DeviceError, match="is no HOST:PORT"):
        Endpoint.parse(text)


@pytest.mark.parametrize("key", ["", "a b", "a:b", "-x", "a,b", "a]", "x" * 65])
def test_what_is_no_key(key: str) -> None:
    with pytest.raises(DeviceError, match="no kind of board can be called"):
        check_key(key)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "farm.example.org", ""])
def test_other_machines_are_kept_out(host: str) -> None:
    for attempt in (
        lambda: listen(host, 0, open_to_network=False),
        lambda: run_tracker(host, 0, None, False, lambda running: None),
        lambda: proxy_offer(Endpoint("192.0.2.1", 9090), "rpi4", "pi"),
    ):
        with pytest.raises(RemoteError, match="or say --open-to-network"):
            attempt()


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        pytest.param("192.0.2.1", 0, "give another address or port", id="not-of-this-machine"),
        pytest.param("127.0.0.1", 65536, "ports are 0 to 65535", id="port"),
        pytest.param("farm.example.org", 0, "it is no IP address", id="name"),
        pytest.param("::1", 0, "use 127.0.0.1", id="loopback-of-ipv6"),
    ],
)
def test_where_nobody_can_listen(host: str, port: int, message: str) -> None:
    with pytest.raises(RemoteError, match=message):
        listen(host, port, open_to_network=True)


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0, open_to_network=False) as first, pytest.raises(RemoteError, match="give another"):
        listen("127.0.0.1", first.getsockname()[1], open_to_network=False)


def test_a_proxy_needs_an_address_to_name() -> None:
    with pytest.raises(RemoteError, match="cannot tell its clients where to come to"):
        run_tracker("0.0.0.0", 0, 0, True, lambda running: None)


def test_other_users_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0, open_to_network=False) as own:
        address = own.getsockname()
        user = listener.os.geteuid()
        monkeypatch.setattr(listener.os, "geteuid", lambda: user + 1)
        with socket.create_connection(address, timeout=SECONDS) as stranger:
            own.settimeout(0.5)
            with pytest.raises(TimeoutError):
                own.accept()
            assert stranger.recv(1) == b""
        monkeypatch.undo()
        with socket.create_connection(address, timeout=SECONDS) as friend:
            connection, _ = own.accept()
            connection.sendall(b"x")
            assert friend.recv(1) == b"x"
            connection.close()


@contextmanager
def door() -> Iterator[Door]:
    with closing(Door(listen("127.0.0.1", 0, open_to_network=False), "rpi4")) as opened:
        yield opened


def knock(door: Door, key: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", door.port), timeout=SECONDS)
    present(connection, key)
    return connection


def test_a_key_lets_in_once() -> None:
    with door() as opened:
        key = opened.new_key()
        with knock(opened, f"client:{key} -timeout=7.5") as first:
            assert answer(first, "x") == "server:rpi4"
            assert opened.bell in offer.select.select([opened.bell], [], [], SECONDS)[0]
            client = opened.entered()
            assert client.seconds == 7.5
            client.connection.close()
            assert first.recv(1) == b""
        with knock(opened, f"client:{key}") as again:
            assert receive_integer(again) == WRONG_KEY


@pytest.mark.parametrize(
    "made", ["client:rpi4", "client:", "", "server:{}", "client:{}x", "client:rpi4:0.5", "client:é"]
)
def test_a_wrong_key_is_refused_and_the_right_one_still_good(made: str) -> None:
    with door() as opened:
        key = opened.new_key()
        with knock(opened, made.format(key)) as stranger:
            assert receive_integer(stranger) == WRONG_KEY
            assert stranger.recv(1) == b""
        with knock(opened, f"client:{key}") as friend:
            assert answer(friend, "x") == "server:rpi4"
        client = opened.entered()
        assert client.seconds is None
        client.connection.close()


def test_no_key_is_right_before_one_is_drawn_or_once_the_door_is_locked() -> None:
    with door() as opened:
        for key in ("client:None", "client:rpi4:"):
            with knock(opened, key) as early:
                assert receive_integer(early) == WRONG_KEY
        key = opened.new_key()
        opened.lock()
        with knock(opened, f"client:{key}") as late:
            assert receive_integer(late) == WRONG_KEY


def test_who_says_nothing_or_nonsense_keeps_nobody_out() -> None:
    with door() as opened:
        key = opened.new_key()
        with (
            socket.create_connection(("127.0.0.1", opened.port), timeout=SECONDS),
            socket.create_connection(("127.0.0.1", opened.port), timeout=SECONDS) as nonsense,
        ):
            send_integer(nonsense, MAGIC)
            send_integer(nonsense, 1 << 30)
            assert nonsense.recv(1) == b""
            with knock(opened, f"client:{key}") as friend:
                assert answer(friend, "x") == "server:rpi4"
            opened.entered().connection.close()


@pytest.mark.parametrize(
    ("presented", "seconds"),
    [
        ("client:k -timeout=10", 10.0),
        ("client:k", None),
        ("client:k -timeout=x", None),
        ("client:k -timeout=-1", None),
        ("client:k -timeout=nan", None),
        ("client:k -timeout=inf", None),
    ],
)
def test_the_limit_that_a_client_asks_for(presented: str, seconds: float | None) -> None:
    assert session_seconds(presented) == seconds


@contextmanager
def saying(data: bytes | None) -> Iterator[Endpoint]:
    """A port where everybody is told ``data`` and hung up on; None says nothing, for a long time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # the client may hang up first
                if data is None:
                    over.wait(SECONDS)
                    return
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(SECONDS)
                while connection.recv(1024):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Endpoint(*server.getsockname())
        finally:
            over.set()
            thread.join(SECONDS)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        pytest.param(b"HTTP/1.1 400", "is no tracker of TVM's", id="another-protocol"),
        pytest.param(b"", "does not answer as a tracker", id="hangs-up"),
        pytest.param(None, "does not answer as a tracker", id="silent"),
        pytest.param(b"\x71\xf2\x02\x00" + b"\xff" * 4, "was lost", id="negative-length"),
        pytest.param(b"\x71\xf2\x02\x00" + b"\x02\x00\x00\x00[]", "its summary makes no sense", id="empty"),
        pytest.param(b"\x71\xf2\x02\x00" + b"\x02\x00\x00\x00[x", "was lost", id="no-json"),
    ],
)
def test_what_is_no_tracker(monkeypatch: pytest.MonkeyPatch, said: bytes | None, message: str) -> None:
    monkeypatch.setattr(tracker_protocol.TrackerConnection.__init__, "__defaults__", (1.0,))
    with saying(said) as where, pytest.raises(RemoteError, match=message):
        query(where)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = Endpoint(*server.getsockname())
    with pytest.raises(RemoteError, match=r"cannot be reached \(Connection refused\); is it running\?"):
        query(gone)
    with pytest.raises(RemoteError, match="cannot be reached"):
        tracker_offer(gone, "rpi4", "pi")
    with pytest.raises(RemoteError, match="pi: its server cannot be reached"):
        open_session(BoardServer(gone.port, "key"), "pi", SECONDS)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"SSH-", "does not speak the RPC of TVM"),
        (b"\x73\xf2\x0f\x00", "the key was refused"),
        (b"", "does not answer"),
    ],
    ids=["another-protocol", "wrong-key", "hangs-up"],
)
def test_a_board_that_cannot_be_opened(said: bytes, message: str) -> None:
    with saying(said) as where, pytest.raises(RemoteError, match=f"pi: .*{message}"):
        open_session(BoardServer(where.port, "key"), "pi", SECONDS)
