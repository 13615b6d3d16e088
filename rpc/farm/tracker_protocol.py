"""What clients and servers say to TVM's tracker (``tvm/rpc/tracker.py``, 0.27), with a limit on every answer.

It is repeated here because TVM's own client waits without limit, and because the gateway does without ``import tvm``.
Each message is its length as an int32 and a JSON text; the first exchange is a number that tells a tracker.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

from ...errors import RemoteError
from ..sessions.protocol import receive_exactly, receive_integer, send_integer, send_text
from .endpoint import Endpoint

TRACKER_MAGIC = 0x2F271
PUT, REQUEST, UPDATE_INFO, SUMMARY, PENDING_KEYS = 3, 4, 5, 6, 7
SUCCESS = 0

LONGEST_MESSAGE = 1 << 24
"""Bytes of an answer; a farm of thousands of boards has a shorter summary."""
SECONDS = 10.0
"""For what a tracker answers at once."""


class TrackerConnection:
    """A connection to the tracker at ``endpoint``; use it as a context manager.

    Raises:
        RemoteError: nobody is there, it is no tracker, or it does not answer in time.
    """

    def __init__(self, endpoint: Endpoint, seconds: float = SECONDS) -> None:
        self.endpoint = endpoint
        self._seconds = seconds
        try:
            self.socket = socket.create_connection((endpoint.host, endpoint.port), timeout=seconds)
        except OSError as error:
            words = error.strerror or error
            raise RemoteError(f"the tracker {endpoint} cannot be reached ({words}); is it running?") from error
        try:
            send_integer(self.socket, TRACKER_MAGIC)
            if receive_integer(self.socket) != TRACKER_MAGIC:
                raise RemoteError(f"{endpoint} is no tracker of TVM's; check the port")
        except OSError as error:
            self.close()
            raise RemoteError(f"{endpoint} does not answer as a tracker ({error}); check the port") from error
        except RemoteError:
            self.close()
            raise

    def call(self, code: int, *arguments: Any, seconds: float | None = None) -> Any:
        """The tracker's answer. Raises TimeoutError when ``seconds`` are given and over, and else RemoteError."""
        try:
            self.socket.settimeout(self._seconds if seconds is None else max(0.001, seconds))
            send_text(self.socket, json.dumps([code, *arguments]))
            return self._receive()
        except TimeoutError as error:
            if seconds is not None:
                raise
            raise RemoteError(f"the tracker {self.endpoint} does not answer within {self._seconds:g} s") from error
        except (OSError, ValueError) as error:
            raise RemoteError(f"the tracker {self.endpoint} was lost ({error}); try again") from error

    def close(self) -> None:
        """Ends the connection; what was offered through it is not given to anybody any more."""
        with suppress(OSError):
            self.socket.close()

    def _receive(self) -> Any:
        size = receive_integer(self.socket)
        if not 0 < size <= LONGEST_MESSAGE:
            raise ConnectionError(f"a message of {size} bytes")
        return json.loads(receive_exactly(self.socket, size))

    def __enter__(self) -> TrackerConnection:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
