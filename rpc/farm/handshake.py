"""TVM's handshake from the side that connects: to a board's server as its client, to a proxy as a server."""

from __future__ import annotations

import socket

from ...errors import RemoteError
from ..sessions.protocol import ACCEPTED, MAGIC, WRONG_KEY, receive_integer, receive_text, send_integer, send_text

DUPLICATE = MAGIC + 1

_REFUSALS = {
    WRONG_KEY: "the key was refused",
    DUPLICATE: "another server is there under the same key; give the proxy a tracker, or use another --key",
}


def present(connection: socket.socket, key: str) -> None:
    """Says who we are: ``client:KEY`` or ``server:KEY``."""
    send_integer(connection, MAGIC)
    send_text(connection, key)


def answer(connection: socket.socket, where: str) -> str:
    """Who the other end says that it is; RemoteError when it refuses us. Raises OSError as the socket does."""
    code = receive_integer(connection)
    if code != ACCEPTED:
        raise RemoteError(f"{where}: {_REFUSALS.get(code, 'it does not speak the RPC of TVM; check the port')}")
    return receive_text(connection)


def session_seconds(presented: str) -> float | None:
    """The limit on its session that a client of TVM asks for behind its key (``-timeout=10``), if it does."""
    for option in presented.split()[1:]:
        name, _, value = option.partition("=")
        if name == "-timeout":
            try:
                seconds = float(value)
            except ValueError:
                return None
            return seconds if 0 < seconds < float("inf") else None
    return None
