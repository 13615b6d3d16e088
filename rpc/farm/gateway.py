"""Couples clients with a board, one after the other: each has a session of its own with the board's server."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress

from ...errors import RemoteError
from ..sessions.board_session import BoardServer
from ..sessions.relay_process import EXPIRED, carry
from .door import Client
from .handshake import answer, present
from .offer import Offer, keep_asking

IDLE_SECONDS = 1800.0
"""A client that has the board and neither sends nor gets a byte for so long loses it."""

log = logging.getLogger("intbert.rpc.farm")


def serve_clients(server: BoardServer, offer: Offer, name: str, seconds: float, idle: float = IDLE_SECONDS) -> None:
    """Offers the board called ``name`` to one client after the other, until it is lost.

    A session with the board is opened before the board is offered: who gets it need not wait, and when the board is
    lost its hang-up says so. ``seconds`` bound the opening.

    Raises:
        RemoteError: the board is lost.
    """
    while True:
        with open_session(server, name, seconds) as board:
            client = offer.wait(board)
            with client.connection:
                log.info("a client has %s", name)
                start = time.monotonic()
                reason = couple(client, board, idle)
                log.info("the client of %s is gone after %.0f s (%s)", name, time.monotonic() - start, reason)


def open_session(server: BoardServer, name: str, seconds: float) -> socket.socket:
    """A connection to the board's server that has its key already; what follows is TVM's protocol."""
    try:
        board = socket.create_connection(("127.0.0.1", server.port), timeout=seconds)
    except OSError as error:
        raise RemoteError(f"{name}: its server cannot be reached ({error})") from error
    try:
        keep_asking(board)
        present(board, f"client:{server.key}")
        answer(board, name)
    except OSError as error:
        board.close()
        raise RemoteError(f"{name}: its server does not answer ({error})") from error
    except BaseException:
        board.close()
        raise
    return board


def couple(client: Client, board: socket.socket, idle: float) -> str:
    """Carries bytes until either end hangs up, its time is over, or nothing came for ``idle`` seconds; why it ended."""
    with suppress(OSError):
        keep_asking(client.connection)
    client.connection.setblocking(False)
    board.setblocking(False)
    control, orders = os.pipe()
    try:
        if client.seconds is not None:
            os.write(orders, f"limit {client.seconds}\n".encode())
        reason = carry(client.connection, board, control, idle)
    except OSError as error:
        return str(error)
    finally:
        os.close(control)
        os.close(orders)
    return "its time was over" if reason == EXPIRED else "the connection was closed"
