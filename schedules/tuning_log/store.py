"""What the two kinds of database have in common, and how their errors become a user's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...errors import TuningLogError

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.exc import DBAPIError

WAIT_SECONDS = 30.0
"""For a lock that another process holds, for a server, and for one that restarts."""


class Store(ABC):
    """A database that may hold a tuning log. ``engine`` connects to it; ``name`` is how messages call it."""

    engine: Engine
    name: str

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that sees one state of the log. TuningLogError when the database fails."""
        with self.explaining(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that is durable when the block has ended.

        The database's own errors pass: some of them are worth another try.
        """
        with self.engine.connect().execution_options(writing=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turns the database's errors into TuningLogError."""
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        try:
            yield
        except DBAPIError as error:
            raise self.explained(error) from error
        except SQLAlchemyError as error:
            raise TuningLogError(f"{self.name}: {first_line(error)}") from error

    def explained(self, error: DBAPIError) -> TuningLogError:
        """What a user is told of ``error``: what is wrong and what to do."""
        return TuningLogError(f"{self.name}: {self._explanation(error)}")

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()

    @abstractmethod
    def prepare(self) -> None:
        """Makes a database that is a log already, or is empty, ready to be written."""

    @abstractmethod
    def insert(self, table: Table) -> Any:
        """An INSERT for ``table`` that passes over rows that are there already."""

    @abstractmethod
    def upsert(self, table: Table, key: str) -> Any:
        """An INSERT for ``table`` that replaces the row with the same ``key``."""

    @abstractmethod
    def lock_schema(self, connection: Connection) -> None:
        """Keeps all others from changing the tables until the transaction ends."""

    @abstractmethod
    def keep_copy(self, schema: int) -> Path | None:
        """Copies the log, which is of ``schema``, aside; None where the database's keeper has to care for that."""

    @abstractmethod
    def reclaim(self) -> None:
        """Gives back the disk space of what was deleted, where that takes a command."""

    @abstractmethod
    def passes(self, error: DBAPIError) -> bool:
        """Whether the same transaction may succeed a moment later."""

    @abstractmethod
    def _explanation(self, error: DBAPIError) -> str: ...


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
