"""TVM's tracker, and its proxy when it is wanted, in this process.

TVM's own ``Tracker`` starts a process, takes another port when the wanted one is in use, and can be stopped by
whoever guesses a number of Python's ``random``. Here its event handlers run on sockets and with a key of ours.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import RemoteError
from .endpoint import Endpoint
from .listener import listen

FIRST_PORT = 9190
"""Where TVM's clients look for a tracker."""

WILDCARDS = ("0.0.0.0", "::")

PROXY_SECONDS = 600
"""For which a proxy keeps a client without a server; TVM's default."""


@dataclass(frozen=True)
class Running:
    """Where the tracker listens, and the proxy."""

    tracker: Endpoint
    proxy: Endpoint | None


def run_tracker(
    host: str, port: int, proxy_port: int | None, open_to_network: bool, ready: Callable[[Running], None]
) -> None:
    """Runs until SIGTERM or an interrupt; port 0 takes a free one. ``ready`` is called when both listen.

    Raises:
        RemoteError: it cannot listen there, or ``host`` is open to other machines and ``open_to_network`` is not given.
    """
    if proxy_port is not None and host in WILDCARDS:
        raise RemoteError(
            f"a proxy on {host} cannot tell its clients where to come to; "
            "give the address at which they reach this machine"
        )
    with listen(host, port, open_to_network) as listener:
        tracker = Endpoint(*listener.getsockname()[:2])
        if proxy_port is None:
            _run(listener, lambda: ready(Running(tracker, None)))
            return
        with listen(host, proxy_port, open_to_network) as proxy_listener:
            running = Running(tracker, Endpoint(*proxy_listener.getsockname()[:2]))
            _start_proxy(proxy_listener, running)
            _run(listener, lambda: ready(running))


def _run(listener: socket.socket, ready: Callable[[], None]) -> None:
    from tvm.rpc import tracker

    tracker.logger.setLevel(logging.WARNING)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    handler = tracker.TrackerServerHandler(listener, secrets.token_hex(16))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handler.stop)
    ready()
    handler.run()


def _start_proxy(listener: socket.socket, running: Running) -> None:
    """The proxy's handlers wait for the tracker's answers, so they have a thread and an event loop of their own."""
    from tvm.rpc import proxy

    address = (running.tracker.host, running.tracker.port)
    assert running.proxy is not None
    port = running.proxy.port

    def run() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        web_port = 0  # none: it would listen on every address
        proxy.ProxyServerHandler(listener, port, web_port, PROXY_SECONDS, PROXY_SECONDS, address).run()

    threading.Thread(target=run, name="proxy", daemon=True).start()
