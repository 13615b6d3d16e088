"""Listening for a farm's clients."""

from __future__ import annotations

import ipaddress
import os
import socket

from ...errors import RemoteError
from ..sessions.relay_process import owner
from .endpoint import require_open

MOST_WAITING = 64


class OwnUserListener(socket.socket):
    """A listening socket of 127.0.0.0/8 whose :meth:`accept` gives only what processes of this user connect.

    A loopback port is open to every user of the machine; the others are closed before a byte is read.
    """

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """As ``socket.accept``; raises what that raises."""
        while True:
            connection, peer = super().accept()
            if owner(peer, self.getsockname()) == os.geteuid():
                return connection, peer
            connection.close()


def listen(host: str, port: int, open_to_network: bool) -> socket.socket:
    """Listens on the IP address ``host``; port 0 takes a free one.

    Raises:
        RemoteError: ``host`` is reached by other machines and ``open_to_network`` is not given, is no address of this
            machine, or the port is taken.
    """
    require_open(host, open_to_network)
    host = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise RemoteError(f"cannot listen on {host!r}: it is no IP address; give one of this machine") from None
    if address.is_loopback and address.version == 6:
        raise RemoteError(f"cannot listen on {host}: whose connections come there cannot be told; use 127.0.0.1")
    if not 0 <= port < 65536:
        raise RemoteError(f"cannot listen on port {port}: ports are 0 to 65535")
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        listener = socket.create_server((host, port), family=family, backlog=MOST_WAITING)
    except OSError as error:
        raise RemoteError(
            f"cannot listen on {host} port {port}: {error.strerror}; give another address or port"
        ) from error
    return OwnUserListener(fileno=listener.detach()) if address.is_loopback else listener
