"""Ways to get a session with a board by a name: a device of the user's over ssh, or any board of a kind from a farm."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from .board_session import Terms, board_session
from .session import Session


class OpenBoard(Protocol):
    """A board with an open session."""

    @property
    def name(self) -> str:
        """What results and messages call it."""
        ...

    @property
    def session(self) -> Session:
        """Calls the board."""
        ...

    @property
    def sent_bytes(self) -> int | None:
        """What went to the board so far, where that is counted."""
        ...


class Boards(Protocol):
    """Opens sessions with boards by name."""

    def check(self, name: str, terms: Terms) -> None:
        """Raises DeviceError for a name that leads to no board; no session is opened."""
        ...

    def open(self, name: str, terms: Terms) -> AbstractContextManager[OpenBoard]:
        """A session for the block. Raises DeviceError for an unknown name, and RemoteError as sessions do."""
        ...


class Devices:
    """The devices of the inventory, see :func:`.board_session.board_session`."""

    def check(self, name: str, terms: Terms) -> None:
        """See :class:`Boards`."""
        terms.inventory.get(name)

    def open(self, name: str, terms: Terms) -> AbstractContextManager[OpenBoard]:
        """See :class:`Boards`."""
        return board_session(terms.inventory.get(name), terms)
