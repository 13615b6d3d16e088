"""Two ways in which a board is offered to clients: through a tracker, and through a proxy."""

from __future__ import annotations

import logging
import select
import socket
import time
from typing import Protocol

from ...errors import RemoteError
from .door import Client, Door
from .endpoint import Endpoint
from .handshake import answer, present, session_seconds
from .tracker_protocol import PENDING_KEYS, PUT, SECONDS, UPDATE_INFO, TrackerConnection

POLL_SECONDS = 2.0
"""How often the tracker is asked whether somebody got the board and did not come for it."""
UNCLAIMED_SECONDS = 6.0
"""Who got the board has so long to come; then others may have it. TVM's own servers do the same."""
RETRY_SECONDS = 5.0
"""After which a tracker or a proxy that is gone is tried again."""

log = logging.getLogger("intbert.rpc.farm")


class Offer(Protocol):
    """Finds clients for a board, one after the other."""

    def wait(self, board: socket.socket) -> Client:
        """Offers the board until a client has come. RemoteError when ``board``, the session with it, ends before."""
        ...

    def withdraw(self) -> None:
        """Nobody is given the board any more, until :meth:`wait` is called again."""
        ...

    def close(self) -> None:
        """Withdraws for good."""
        ...


class TrackerOffer:
    """Registers at ``tracker`` where the door is. ``host`` is what clients connect to, None what the tracker sees."""

    def __init__(self, tracker: Endpoint, door: Door, key: str, host: str | None, device: str) -> None:
        self._endpoint = tracker
        self._door = door
        self._key = key
        self._host = host
        self._device = device
        self._tracker: TrackerConnection | None = None

    def wait(self, board: socket.socket) -> Client:
        """See :class:`Offer`."""
        while True:
            try:
                return self._offer(self._registered(), board)
            except _TrackerLostError as error:
                log.warning("%s; trying again", error)
                self.withdraw()
                _sleep_beside(board, RETRY_SECONDS)

    def withdraw(self) -> None:
        """See :class:`Offer`. The tracker forgets who hangs up."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None
        self._door.lock()

    def close(self) -> None:
        """See :class:`Offer`."""
        self.withdraw()
        self._door.close()

    def _registered(self) -> TrackerConnection:
        if self._tracker is None:
            info = {"key": f"server:{self._key}", "addr": [self._host, self._door.port], "device": self._device}
            try:
                self._tracker = TrackerConnection(self._endpoint)
                self._tracker.call(UPDATE_INFO, info)
            except RemoteError as error:
                raise _TrackerLostError(str(error)) from error
        return self._tracker

    def _offer(self, tracker: TrackerConnection, board: socket.socket) -> Client:
        key, claimed = self._put(tracker), 0.0
        while True:
            readable, _, _ = select.select([self._door.bell, board, tracker.socket], [], [], POLL_SECONDS)
            if self._door.bell in readable:
                return self._door.entered()
            if board in readable:
                raise RemoteError(f"{self._device}: its server hung up")
            if key in _called(tracker, PENDING_KEYS):
                claimed = 0.0
                continue
            claimed = claimed or time.monotonic()
            if time.monotonic() - claimed > UNCLAIMED_SECONDS:
                log.info("who got the board did not come for it")
                key, claimed = self._put(tracker), 0.0

    def _put(self, tracker: TrackerConnection) -> str:
        key = self._door.new_key()
        _called(tracker, PUT, self._key, [self._door.port, key], self._host)
        return key


class ProxyOffer:
    """Connects to the proxy at ``endpoint`` as a server under ``key``; the proxy chooses and checks the clients."""

    def __init__(self, endpoint: Endpoint, key: str, device: str) -> None:
        self._endpoint = endpoint
        self._key = key
        self._device = device
        self._proxy: socket.socket | None = None

    def wait(self, board: socket.socket) -> Client:
        """See :class:`Offer`."""
        while True:
            try:
                return self._offer(board)
            except OSError as error:
                log.warning("the proxy %s: %s; trying again", self._endpoint, error)
                self.withdraw()
                _sleep_beside(board, RETRY_SECONDS)

    def withdraw(self) -> None:
        """See :class:`Offer`."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None

    def close(self) -> None:
        """See :class:`Offer`."""
        self.withdraw()

    def _offer(self, board: socket.socket) -> Client:
        proxy = self._proxy = socket.create_connection((self._endpoint.host, self._endpoint.port), timeout=SECONDS)
        keep_asking(proxy)
        present(proxy, f"server:{self._key}")
        readable, _, _ = select.select([proxy, board], [], [])
        if board in readable:
            raise RemoteError(f"{self._device}: its server hung up")
        try:
            presented = answer(proxy, f"the proxy {self._endpoint}")
        except RemoteError as error:
            raise ConnectionError(error) from error
        self._proxy = None
        return Client(proxy, session_seconds(presented))


class _TrackerLostError(Exception):
    pass


def keep_asking(connection: socket.socket) -> None:
    """Has the kernel find out within half a minute that the other machine is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", 30_000)):
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _called(tracker: TrackerConnection, code: int, *arguments: object) -> list[str]:
    try:
        answer = tracker.call(code, *arguments)
    except RemoteError as error:
        raise _TrackerLostError(str(error)) from error
    return answer if isinstance(answer, list) else []


def _sleep_beside(board: socket.socket, seconds: float) -> None:
    """Waits; RemoteError when the board is lost meanwhile."""
    readable, _, _ = select.select([board], [], [], seconds)
    if readable:
        raise RemoteError("the board's server hung up")
