"""A cable between a client and a server that a test can freeze and cut: a TCP proxy on 127.0.0.1."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

SECONDS = 10
"""Limit on reaching the server, and on ending the cable's thread."""

CHUNK = 1 << 16

_RESET = struct.pack("ii", 1, 0)
"""Of SO_LINGER: to close is to send a reset."""


@dataclass(eq=False)
class _Flow:
    """One direction of a connection: ``waiting`` came from ``source`` and has to go to ``target``."""

    source: socket.socket
    target: socket.socket
    to_server: bool
    waiting: bytes = b""
    ended: bool = False
    """The source sent its end."""
    closed: bool = False
    """The target was told so."""


@dataclass(eq=False)
class _Connection:
    client: socket.socket
    server: socket.socket
    flows: tuple[_Flow, _Flow] = field(init=False)

    def __post_init__(self) -> None:
        for end in (self.client, self.server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flows = (_Flow(self.client, self.server, True), _Flow(self.server, self.client, False))


class Cable:
    """Connects whoever comes to ``port`` with the server at ``server``; in use from ``with`` to its end.

    Every method may be called from any thread; it has taken effect when it returns.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._lock = threading.Lock()  # sockets are touched, and the state below changes, with it only
        self._connections: set[_Connection] = set()
        self._counts = {True: 0, False: 0}
        self._left: int | None = None
        self._frozen = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Cable:
        self.thaw()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.send(b"\0")
        self._thread.join(SECONDS)
        self.cut()
        self._selector.close()
        for end in (self._listener, self._wake, self._woken):
            end.close()
        if self._thread.is_alive():
            raise RuntimeError(f"the cable's thread did not end within {SECONDS} s")

    @property
    def port(self) -> int:
        """Where clients connect, on 127.0.0.1."""
        return self._listener.getsockname()[1]

    @property
    def to_server(self) -> int:
        """Bytes that went on to the server, over all connections."""
        return self._counts[True]

    @property
    def to_client(self) -> int:
        """Bytes that went on to clients, over all connections."""
        return self._counts[False]

    def freeze(self) -> None:
        """Holds every byte and every end of a connection back, in both directions.

        Clients can still connect, because the kernel greets them, but then hear nothing.
        """
        self._freeze(True)

    def thaw(self) -> None:
        """Lets all that was held back pass, in order."""
        self._freeze(False)

    def cut(self) -> None:
        """Resets every connection; new ones are made as before."""
        with self._lock:
            self._cut()

    def cut_after(self, count: int) -> None:
        """Resets every connection once ``count`` (at least 1) more bytes went to the server."""
        if count < 1:
            raise ValueError(f"a cable is cut after 1 byte or more, not {count}; cut() does it now")
        with self._lock:
            self._left = count

    def _freeze(self, frozen: bool) -> None:
        with self._lock:
            self._frozen = frozen
            self._watch(self._listener, 0 if frozen else selectors.EVENT_READ, None)
            for connection in self._connections:
                self._watch_connection(connection)

    def _serve(self) -> None:
        while True:
            ready = self._selector.select()
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._woken:
                        return
                    # what another thread did since then goes first
                    if self._frozen:
                        continue
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self._connections:
                        self._move(key.data)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # who came has gone
            return
        try:
            server = socket.create_connection(self._server, timeout=SECONDS)
        except OSError:
            _reset(client)
            return
        connection = _Connection(client, server)
        self._connections.add(connection)
        self._watch_connection(connection)

    def _move(self, connection: _Connection) -> None:
        """Moves what can be moved now, in both directions."""
        try:
            for flow in connection.flows:
                self._take(flow)
                self._give(flow)
        except OSError:
            self._drop(connection)
            return
        if self._left == 0:
            self._cut()
        elif all(flow.closed for flow in connection.flows):
            self._drop(connection)
        else:
            self._watch_connection(connection)

    def _take(self, flow: _Flow) -> None:
        if not flow.waiting and not flow.ended:
            with suppress(BlockingIOError):
                flow.waiting = flow.source.recv(CHUNK)
                flow.ended = not flow.waiting

    def _give(self, flow: _Flow) -> None:
        limit = self._left if flow.to_server else None
        if flow.waiting:
            with suppress(BlockingIOError):
                sent = flow.target.send(flow.waiting[:limit])
                flow.waiting = flow.waiting[sent:]
                self._counts[flow.to_server] += sent
                if limit is not None:
                    self._left = limit - sent
        if flow.ended and not flow.waiting and not flow.closed:
            flow.target.shutdown(socket.SHUT_WR)
            flow.closed = True

    def _cut(self) -> None:
        self._left = None
        for connection in list(self._connections):
            self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        """Closes both ends: with a reset, unless each end has heard of the other's end."""
        self._connections.remove(connection)
        orderly = all(flow.closed for flow in connection.flows)
        for end in (connection.client, connection.server):
            self._watch(end, 0, connection)
            end.close() if orderly else _reset(end)

    def _watch_connection(self, connection: _Connection) -> None:
        for end in (connection.client, connection.server):
            events = 0
            for flow in connection.flows:
                if flow.source is end and not flow.waiting and not flow.ended:
                    events |= selectors.EVENT_READ
                if flow.target is end and flow.waiting:
                    events |= selectors.EVENT_WRITE
            self._watch(end, 0 if self._frozen else events, connection)

    def _watch(self, end: socket.socket, events: int, connection: _Connection | None) -> None:
        known = end in self._selector.get_map()
        if events and known:
            self._selector.modify(end, events, connection)
        elif events:
            self._selector.register(end, events, connection)
        elif known:
            self._selector.unregister(end)


def _reset(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.close()
