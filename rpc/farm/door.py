"""Where clients that a tracker sends come in: they are let in one at a time, each with a key of its own."""

from __future__ import annotations

import hmac
import logging
import queue
import secrets
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass

from ..sessions.protocol import ACCEPTED, MAGIC, WRONG_KEY, receive_integer, receive_text, send_integer, send_text
from .handshake import session_seconds

HANDSHAKE_SECONDS = 10.0
"""A client that connects and does not say its key in this time is dropped."""
MOST_AT_ONCE = 16
"""Clients that are asked for their key; others wait."""

log = logging.getLogger("intbert.rpc.farm")


@dataclass(frozen=True)
class Client:
    """Who was let in; ``seconds`` is the limit on the session that it asked for."""

    connection: socket.socket
    seconds: float | None


class Door:
    """Accepts on ``listener``, whose owner it becomes. ``key`` is what the boards behind it are called."""

    def __init__(self, listener: socket.socket, key: str) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._key = key
        self._expected: str | None = None
        self._lock = threading.Lock()
        self._places = threading.Semaphore(MOST_AT_ONCE)
        self._entered: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self.bell, self._button = socket.socketpair()
        """``bell`` can be read from when somebody has come in."""
        threading.Thread(target=self._accept, name="door", daemon=True).start()

    def new_key(self) -> str:
        """Draws the key that lets the next client in, and nobody after it; earlier keys are void."""
        with self._lock:
            self._expected = f"{self._key}:{secrets.token_hex(16)}"
            return self._expected

    def lock(self) -> None:
        """No key is right until the next is drawn, and who has come in meanwhile is dropped."""
        with self._lock:
            self._expected = None
        with suppress(queue.Empty):
            while True:
                self._entered.get_nowait().connection.close()
                self.bell.recv(1)

    def entered(self) -> Client:
        """Who has come in; call it when :attr:`bell` can be read from."""
        self.bell.recv(1)
        return self._entered.get_nowait()

    def close(self) -> None:
        """Stops listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._listener.close()
        self.lock()
        self._button.close()
        self.bell.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                connection, _ = self._listener.accept()
                self._places.acquire()
                threading.Thread(target=self._ask, args=(connection,), daemon=True).start()

    def _ask(self, connection: socket.socket) -> None:
        """Performs TVM's handshake with one client."""
        limit = threading.Timer(HANDSHAKE_SECONDS, _hang_up, args=(connection,))
        limit.daemon = True
        limit.start()
        client = None
        try:
            connection.settimeout(HANDSHAKE_SECONDS)
            if receive_integer(connection) == MAGIC:
                client = self._let_in(connection, receive_text(connection))
        except OSError as error:
            log.info("a client was dropped in its handshake: %s", error)
        finally:
            limit.cancel()
            self._places.release()
        if client is None:
            connection.close()

    def _let_in(self, connection: socket.socket, presented: str) -> Client | None:
        words = presented.split() or [""]
        with self._lock:
            right = self._expected is not None and hmac.compare_digest(
                words[0].encode(), f"client:{self._expected}".encode()
            )
            if right:
                self._expected = None
        if not right:
            send_integer(connection, WRONG_KEY)
            log.info("a client with a wrong key was refused")
            return None
        send_integer(connection, ACCEPTED)
        send_text(connection, f"server:{self._key}")
        client = Client(connection, session_seconds(presented))
        self._entered.put(client)
        self._button.send(b".")
        return client


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
