"""Keeps a device on offer: reaches it, serves clients, and begins again when it was lost."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from typing import NoReturn

from ...errors import HostKeyError, RemoteError, UnsuitableBoardError
from ..sessions.board_session import BoardServer, Terms, board_server
from .door import Door
from .endpoint import Endpoint, check_key, require_open
from .gateway import IDLE_SECONDS, serve_clients
from .listener import listen
from .offer import Offer, ProxyOffer, TrackerOffer
from .tracker_protocol import TrackerConnection

FIRST_DELAY, LONGEST_DELAY = 2.0, 60.0
"""Seconds between attempts to reach a board that was lost; each is twice the one before."""
HOPELESS = (HostKeyError, UnsuitableBoardError)
"""What waiting does not mend."""

OpenServer = Callable[[], AbstractContextManager[BoardServer]]


@dataclass(frozen=True)
class Limits:
    """``seconds`` bound opening a session; ``idle`` is how long a client may say nothing."""

    seconds: float = 60.0
    idle: float = IDLE_SECONDS


LIMITS = Limits()


def tracker_offer(
    tracker: Endpoint, key: str, device: str, listen_at: str = "127.0.0.1", port: int = 0, open_to_network: bool = False
) -> TrackerOffer:
    """Offers through a tracker; clients come to ``listen_at``.

    Raises:
        RemoteError: the tracker cannot be reached, or it is not possible or not allowed to listen there.
    """
    check_key(key)
    TrackerConnection(tracker).close()  # a mistyped address is found now, and not tried for ever
    host = None if listen_at in ("0.0.0.0", "::") else listen_at
    return TrackerOffer(tracker, Door(listen(listen_at, port, open_to_network), key), key, host, device)


def proxy_offer(proxy: Endpoint, key: str, device: str, open_to_network: bool = False) -> ProxyOffer:
    """Offers through a proxy. RemoteError when that is on another machine and ``open_to_network`` is not given."""
    check_key(key)
    require_open(proxy.host, open_to_network)
    return ProxyOffer(proxy, key, device)


def device_server(name: str, terms: Terms) -> OpenServer:
    """How the server of a device is reached. A password is asked for once and kept in memory."""
    ask = None if terms.ask_password is None else functools.cache(terms.ask_password)
    terms = replace(terms, ask_password=ask)

    @contextmanager
    def opened() -> Iterator[BoardServer]:
        with board_server(terms.inventory.get(name), terms) as server:
            yield server

    return opened


def keep_serving(
    name: str, open_server: OpenServer, offer: Offer, tell: Callable[[str], None], limits: Limits = LIMITS
) -> NoReturn:
    """Offers the board until this is interrupted; ``tell`` hears what happens, and whether the board is there.

    Raises:
        RemoteError: the board cannot be reached the first time, or never will be (see HOPELESS).
    """
    delay: float | None = None
    with closing(offer):
        while True:
            try:
                with open_server() as server:
                    tell(f"{name} is there")
                    delay = FIRST_DELAY
                    serve_clients(server, offer, name, limits.seconds, limits.idle)
            except RemoteError as error:
                offer.withdraw()
                if delay is None or isinstance(error, HOPELESS):
                    raise
                tell(f"{name} is lost: {error}; trying again in {delay:g} s")
            time.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
