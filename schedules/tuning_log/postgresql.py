"""A tuning log in a PostgreSQL database: several people, or a farm, write one log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, text
from sqlalchemy.dialects.postgresql import insert

from .address import ServerAddress
from .store import Store, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Table
    from sqlalchemy.exc import DBAPIError

_SCHEMA_LOCK = 0x1B_E47_106
"""A number that no other program's advisory locks in the same database have, one hopes."""

_EXPLANATIONS = {
    "28P01": "the server does not accept the password; look at the URL, PGPASSWORD and ~/.pgpass",
    "28000": "the server does not let this user in; ask its keeper",
    "3D000": "the server has no such database; make it with `createdb`, or ask its keeper",
    "42501": "this user may not do that in the database; ask its keeper for the right to",
    "53100": "the server's disk is full, this was not written; free some space there and do it again",
    "53300": "the server has too many connections; try again later",
    "55P03": "another process has kept it locked; wait until that has ended, or stop it",
    "25006": "the database cannot be written here: it is read-only; use the primary server",
}
_CONNECTING = {
    "password authentication failed": _EXPLANATIONS["28P01"],
    "no password supplied": "the server wants a password; put it into PGPASSWORD or ~/.pgpass",
    "no pg_hba.conf entry": _EXPLANATIONS["28000"],
    "does not exist": "the server has no such database or user; make it with `createdb`, or look at the URL",
    "too many": _EXPLANATIONS["53300"],
}
"""What a server says of a connection that it refuses; psycopg gives these errors no code."""

_RESTARTING = ("57P01", "57P02", "57P03")
_COLLIDED = ("40001", "40P01")


class PostgresqlStore(Store):
    """The database of a server. ``wait``: seconds for the server, and for a lock."""

    def __init__(self, address: ServerAddress, read_only: bool, wait: float) -> None:
        self.name = str(address)
        milliseconds = max(1, int(wait * 1000))
        limits = {"connect_timeout": max(2, round(wait)), "keepalives_idle": 30, "tcp_user_timeout": milliseconds}
        self._settings = [
            "SET synchronous_commit = on",  # an acknowledged record outlives the server's crash, whatever its default
            f"SET lock_timeout = {milliseconds}",
        ]
        self.engine = create_engine(
            address.url,
            connect_args={**limits, **address.url.query},
            pool_pre_ping=True,
            execution_options={"postgresql_readonly": True} if read_only else {},
        )
        event.listen(self.engine, "connect", self._set)

    def prepare(self) -> None:
        """Nothing: the server has done it."""

    def insert(self, table: Table) -> Any:
        return insert(table).on_conflict_do_nothing()

    def upsert(self, table: Table, key: str) -> Any:
        statement = insert(table)
        changed = {column.name: statement.excluded[column.name] for column in table.c if column.name != key}
        return statement.on_conflict_do_update(index_elements=[key], set_=changed)

    def lock_schema(self, connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _SCHEMA_LOCK})

    def keep_copy(self, schema: int) -> Path | None:
        return None

    def reclaim(self) -> None:
        """Nothing: the server's autovacuum does it."""

    def passes(self, error: DBAPIError) -> bool:
        from psycopg import OperationalError

        state = getattr(error.orig, "sqlstate", None)
        if state is None:
            return isinstance(error.orig, OperationalError)
        return state in _RESTARTING or state in _COLLIDED

    def _explanation(self, error: DBAPIError) -> str:
        state = getattr(error.orig, "sqlstate", None)
        if state in _EXPLANATIONS:
            return _EXPLANATIONS[state]
        reason = str(error.orig)
        if state is None:
            for fragment, told in _CONNECTING.items():
                if fragment in reason:
                    return told
            return f"cannot be reached ({first_line(error.orig or error)}); is the server running, and the URL right?"
        return first_line(error.orig or error)

    def _set(self, connection: Any, _: object) -> None:
        # Outside any transaction, whose end could take the settings back.
        connection.autocommit = True
        for setting in self._settings:
            connection.execute(setting)
        connection.autocommit = False
