"""Gets a board of a kind from a tracker, for no longer a wait than the user wants, and opens a session with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from ...errors import BusyError, DeviceError, RemoteError
from ..sessions.board_session import Terms
from ..sessions.boards import OpenBoard
from ..sessions.session import Session, connect
from .endpoint import Endpoint
from .summary import Summary, query, read_summary
from .tracker_protocol import REQUEST, SUCCESS, TrackerConnection

PRIORITY = 1
"""TVM's default."""
ATTEMPTS = 4
"""A board may be lost between the tracker's word and ours; then another one is asked for."""
LEAST_SECONDS = 2.0
"""For the tracker's answer when nobody wants to wait."""


@dataclass(frozen=True)
class Grant:
    """A board that the tracker gave us: where it is, the key that lets us in, and the device's name if it has one."""

    host: str
    port: int
    match_key: str
    device: str | None


@dataclass(frozen=True)
class FarmBoard:
    """An open session with a board of a farm."""

    name: str
    session: Session
    sent_bytes: None = None


class Farm:
    """The boards of ``tracker``; a name is a key, which many boards may have (:class:`..sessions.boards.Boards`)."""

    def __init__(self, tracker: Endpoint) -> None:
        self.tracker = tracker

    def check(self, name: str, terms: Terms) -> None:
        """DeviceError when there is no board of this key, in use or not; RemoteError without a tracker."""
        _require_key(self.tracker, name, query(self.tracker))

    def free(self, key: str) -> int:
        """How many boards of the kind ``key`` can be had at once."""
        return next((queue.free for queue in query(self.tracker).queues if queue.key == key), 0)

    def open(self, name: str, terms: Terms) -> AbstractContextManager[OpenBoard]:
        """See :func:`farm_session`."""
        return farm_session(self.tracker, name, terms)


@contextmanager
def farm_session(tracker: Endpoint, key: str, terms: Terms) -> Iterator[FarmBoard]:
    """A session with any free board of the kind ``key``, for the block.

    Raises:
        DeviceError: there is no board of this key.
        BusyError: all of them were in use for ``terms.wait`` seconds.
        RemoteError: the tracker or the board cannot be reached, or the board was lost inside the block.
    """
    board = _opened(tracker, key, terms)
    with board.session:
        terms.tell(f"{tracker} gave us {board.name}")
        yield board


def _opened(tracker: Endpoint, key: str, terms: Terms) -> FarmBoard:
    deadline = time.monotonic() + terms.wait
    for attempt in range(1, ATTEMPTS + 1):
        grant = request(tracker, key, terms.wait, deadline - time.monotonic())
        where = grant.device or f"{key} at {Endpoint(grant.host, grant.port)}"
        try:
            session = connect(grant.host, grant.port, grant.match_key, timeout=terms.timeout, name=where)
        except RemoteError as error:
            if attempt == ATTEMPTS:
                raise
            terms.tell(f"{error}; asking for another board")
        else:
            return FarmBoard(where, session)
    raise AssertionError("the last attempt returns or raises")


def request(tracker: Endpoint, key: str, wait: float, left: float | None = None) -> Grant:
    """Asks the tracker for a board. ``wait``: seconds the user waits in all; ``left``: those that are left of them."""
    with TrackerConnection(tracker) as connection:
        _require_key(tracker, key, read_summary(connection))
        try:
            code, value = connection.call(
                REQUEST, key, "", PRIORITY, seconds=max(LEAST_SECONDS, wait if left is None else left)
            )
            host, port, match_key = value
            if code != SUCCESS:
                raise ValueError(code)
        except TimeoutError:
            raise BusyError(
                f"every board of the kind {key!r} at {tracker} was in use for {wait:g} s; give a longer --wait"
            ) from None
        except (TypeError, ValueError) as error:
            raise RemoteError(f"{tracker}: its answer makes no sense ({error}); is it TVM's tracker?") from error
        return Grant(host, port, match_key, read_summary(connection).device_at(host, port))


def _require_key(tracker: Endpoint, key: str, summary: Summary) -> None:
    if key in summary.keys:
        return
    known = f"there are {', '.join(summary.keys)}" if summary.keys else "it has none; see `intbert device serve`"
    raise DeviceError(f"the tracker {tracker} has no board of the kind {key!r}; {known}")
