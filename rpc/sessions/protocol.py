"""What host and board say to each other: TVM's handshake, and the answers of our own functions.

TVM's RPC handshake (``tvm/rpc/server.py``, 0.27) is repeated here, because importing ``tvm`` on a board
costs more memory than a model does. After it the two ends speak TVM's binary protocol, which the runtime
library implements.

Every function of ours answers with bytes when it succeeded and with a JSON text that carries the error
otherwise, so that the host raises the same typed error as the board did.
"""

from __future__ import annotations

import io
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import errors

MAGIC = 0xFF271
ACCEPTED = MAGIC
WRONG_KEY = MAGIC + 2

PROCESS_DIED = "the session's process died"
"""With these words the server tells a client that its session's process ended."""

LONGEST_KEY = 1024
"""Bytes: a longer one does not come from a client of TVM."""


def receive_exactly(connection: socket.socket, count: int) -> bytes:
    """Reads ``count`` bytes; raises OSError when the peer closes before."""
    data = bytearray()
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionResetError(f"the peer closed after {len(data)} of {count} bytes")
        data += chunk
    return bytes(data)


def receive_integer(connection: socket.socket) -> int:
    """Reads one little-endian int32."""
    return struct.unpack("<i", receive_exactly(connection, 4))[0]


def send_integer(connection: socket.socket, value: int) -> None:
    """Writes one little-endian int32."""
    connection.sendall(struct.pack("<i", value))


def send_text(connection: socket.socket, text: str) -> None:
    """Writes the length as an int32, then the UTF-8 text."""
    data = text.encode("utf-8")
    connection.sendall(struct.pack("<i", len(data)) + data)


def receive_text(connection: socket.socket) -> str:
    """The inverse of :func:`send_text`; raises OSError for a length that no client sends."""
    length = receive_integer(connection)
    if not 0 <= length <= LONGEST_KEY:
        raise ConnectionError(f"a key of {length} bytes")
    return receive_exactly(connection, length).decode("utf-8", errors="replace")


def encode_array(array: NDArray[Any] | None) -> bytes:
    """``array`` with its dtype and shape in NumPy's .npy format; None becomes no bytes."""
    if array is None:
        return b""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def decode_array(data: bytes) -> NDArray[Any] | None:
    """The inverse of :func:`encode_array`."""
    return np.load(io.BytesIO(data), allow_pickle=False) if data else None


def encode_error(error: errors.IntbertError) -> str:
    """The JSON text that stands for ``error`` in an answer."""
    return json.dumps({"error": type(error).__name__, "message": str(error)})


def decode_error(answer: str, where: str) -> errors.IntbertError:
    """The error of an answer, of the class that the board raised, its message preceded by ``where``."""
    document = json.loads(answer)
    return error_of({**document, "message": f"{where}: {document['message']}"})


def error_of(document: Mapping[str, str]) -> errors.IntbertError:
    """The error that ``document`` stands for; RemoteError where the class is unknown on this side."""
    kind = getattr(errors, document["error"], errors.RemoteError)
    return kind(document["message"])
