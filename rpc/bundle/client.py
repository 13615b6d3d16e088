"""A client of the server: what it sent and was not answered yet, and what it has not taken yet."""

from __future__ import annotations

import socket

from ...errors import InputError

MOST_BYTES = 1 << 20
"""Of one request."""
_CHUNK = 1 << 16


class Client:
    """A connection that is never waited for. Nothing more is read from it while it has an answer to take."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.ended = False
        """It sends nothing more."""
        self._received = bytearray()
        self._skipping = False
        self._answers = bytearray()

    @property
    def sending(self) -> bool:
        """Whether part of an answer is still to be taken."""
        return bool(self._answers)

    @property
    def asking(self) -> bool:
        """Whether :meth:`take` gives a request, or an error, and there is room for the answer."""
        if self.sending:
            return False
        return b"\n" in self._received or len(self._received) > MOST_BYTES or (self.ended and bool(self._received))

    def receive(self) -> None:
        """Reads what has come; OSError when the connection broke."""
        try:
            data = self.connection.recv(_CHUNK)
        except BlockingIOError:
            return
        self.ended = not data
        if self._skipping:
            _, newline, data = data.partition(b"\n")
            self._skipping = not newline
        self._received += data

    def take(self) -> bytes:
        """The next line, which may lack its end when the client sends nothing more.

        Raises InputError for one that is too long; what is still to come of it is then thrown away.
        """
        line, newline, rest = self._received.partition(b"\n")
        self._received = rest
        if len(line) > MOST_BYTES:
            self._skipping = not newline
            raise InputError(f"a request of more than {MOST_BYTES} bytes; send fewer or shorter texts in one")
        return bytes(line)

    def answer(self, line: bytes) -> None:
        """Begins to send ``line``; OSError when the connection broke."""
        self._answers += line
        self.send()

    def send(self) -> None:
        """Sends what the client takes now; OSError when the connection broke."""
        try:
            sent = self.connection.send(self._answers)
        except BlockingIOError:
            return
        del self._answers[:sent]
