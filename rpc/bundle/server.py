"""Serves clients of a socket in turns, in one thread: the model computes for one of them at a time anyway."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from ...errors import InputError
from .client import Client
from .requests import refusal

MOST_CLIENTS = 64
"""When another one comes, the one that has been silent for the longest time is dropped."""


class Server:
    """Answers each line that a client sends with the line that ``answer`` makes of it.

    A client that hangs up, stays silent or takes no answer costs the others nothing. Each has one request answered
    before another has two.
    """

    def __init__(self, listener: socket.socket, answer: Callable[[bytes], bytes], most_clients: int = MOST_CLIENTS):
        listener.setblocking(False)
        self._listener = listener
        self._answer = answer
        self._most_clients = most_clients
        self._selector = selectors.DefaultSelector()
        self._clients: dict[Client, None] = {}
        """In the order in which they were last heard."""

    def serve(self, stop: socket.socket) -> None:
        """Serves until ``stop`` can be read from; then every connection is closed."""
        with self._selector:
            self._selector.register(stop, selectors.EVENT_READ)
            self._selector.register(self._listener, selectors.EVENT_READ)
            try:
                while self._turn(stop):
                    pass
            finally:
                for client in list(self._clients):
                    self._drop(client)

    def _turn(self, stop: socket.socket) -> bool:
        """One round; False when it was the last."""
        at_once = any(client.asking for client in self._clients)
        for key, events in self._selector.select(0 if at_once else None):
            if key.fileobj is stop:
                return False
            if key.fileobj is self._listener:
                self._accept()
            elif key.data in self._clients:  # not dropped a moment ago
                self._carry(key.data, events)
        for client in list(self._clients):
            if client.asking:
                self._serve(client)
        return True

    def _accept(self) -> None:
        if len(self._clients) >= self._most_clients:
            self._drop_most_silent()
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # it went away meanwhile
            return
        except OSError:  # there are no more descriptors
            if not self._clients:
                raise
            self._drop_most_silent()
            return
        client = Client(connection)
        self._clients[client] = None
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _drop_most_silent(self) -> None:
        self._drop(next(iter(self._clients)))

    def _carry(self, client: Client, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                client.send()
            elif not client.asking:
                client.receive()
                self._clients[client] = self._clients.pop(client)
        except OSError:
            self._drop(client)
        else:
            self._await(client)

    def _serve(self, client: Client) -> None:
        try:
            line = self._answer(client.take())
        except InputError as error:
            line = refusal(error)
        try:
            client.answer(line)
        except OSError:
            self._drop(client)
        else:
            self._await(client)

    def _await(self, client: Client) -> None:
        """Chooses what the client is waited for next."""
        if client.ended and not client.sending and not client.asking:
            self._drop(client)
            return
        events = selectors.EVENT_WRITE if client.sending else selectors.EVENT_READ
        self._selector.modify(client.connection, events, client)

    def _drop(self, client: Client) -> None:
        self._clients.pop(client)
        self._selector.unregister(client.connection)
        client.connection.close()
