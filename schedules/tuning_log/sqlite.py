"""A tuning log in an SQLite file: in write-ahead mode, each commit on the disk before it is acknowledged."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import QueuePool, create_engine, event
from sqlalchemy.dialects.sqlite import insert

from ...errors import TuningLogError
from .address import FileAddress
from .store import Store, first_line

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table
    from sqlalchemy.exc import DBAPIError

RETRY_SECONDS = 0.05

# Python 3.10 has no numbers of SQLite's errors; their texts are as old as SQLite.
_EXPLANATIONS = {
    "file is not a database": "is no SQLite database, so no tuning log; give another path",
    "file is encrypted": "is no SQLite database, so no tuning log; give another path",
    "database is locked": "another process has kept it locked; wait until that has ended, or stop it",
    "readonly database": "cannot be written; change the rights of the file and of its folder, or use a copy",
    "unable to open database": "cannot be opened; look at the rights of the file and of its folder",
    "database or disk is full": "the disk is full, this was not written; free some space and do it again",
    "disk I/O error": "the disk failed; look at its state and at the kernel's messages",
    "disk image is malformed": "is damaged; restore a copy, or save what can be read with `sqlite3 FILE .recover`",
}


class SqliteStore(Store):
    """The database in a file. ``wait``: seconds for a lock."""

    def __init__(self, address: FileAddress, read_only: bool, wait: float) -> None:
        self.path, self.name = address.path, str(address)
        self._wait = wait
        if self.path.is_dir():
            raise TuningLogError(f"{self.name} is a folder; give the path of a file")
        if read_only:
            if not self.path.exists():
                raise TuningLogError(f"there is no tuning log {self.name}; look at the path")
            uri = self._uri("immutable=1" if self._is_at_rest() else "mode=ro")
        else:
            self._make_folder()
            uri = self._uri("mode=rwc")
        self.engine = create_engine("sqlite://", creator=lambda: self._connect(uri), poolclass=QueuePool)
        event.listen(self.engine, "begin", _begin)

    def prepare(self) -> None:
        with self.explaining(), self.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            deadline = time.monotonic() + self._wait
            while True:
                try:
                    raw.execute("PRAGMA auto_vacuum = INCREMENTAL")
                    raw.execute("PRAGMA journal_mode = WAL")
                    break
                except sqlite3.OperationalError as error:
                    # SQLite does not wait here while another process does the same, or recovers.
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise self._told(error) from error
                time.sleep(RETRY_SECONDS)
            with connection.execution_options(writing=True).begin():
                pass  # a file that cannot be written says so now, not after an hour of tuning

    def insert(self, table: Table) -> Any:
        return insert(table).on_conflict_do_nothing()

    def upsert(self, table: Table, key: str) -> Any:
        statement = insert(table)
        changed = {column.name: statement.excluded[column.name] for column in table.c if column.name != key}
        return statement.on_conflict_do_update(index_elements=[key], set_=changed)

    def lock_schema(self, connection: Connection) -> None:
        """Nothing: a transaction that writes is the only one."""

    def keep_copy(self, schema: int) -> Path | None:
        copy = self.path.with_name(f"{self.path.name}.schema-{schema}")
        partial = copy.with_name(f"{copy.name}.partial")
        try:
            with closing(self._connect(self._uri("mode=ro"))) as source, closing(sqlite3.connect(partial)) as sink:
                source.backup(sink)
            partial.replace(copy)
        except (sqlite3.Error, OSError) as error:
            partial.unlink(missing_ok=True)
            raise self._told(error) from error
        return copy

    def reclaim(self) -> None:
        with self.explaining(), self.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            try:
                # Each row that is fetched frees a page.
                raw.execute("PRAGMA incremental_vacuum").fetchall()
            except sqlite3.Error as error:
                raise self._told(error) from error

    def passes(self, error: DBAPIError) -> bool:
        return False  # it has waited for the lock already

    def _explanation(self, error: DBAPIError) -> str:
        return _explanation(error.orig or error)

    def _told(self, error: Exception) -> TuningLogError:
        return TuningLogError(f"{self.name}: {_explanation(error)}")

    def _uri(self, options: str) -> str:
        return f"file:{quote(str(self.path))}?{options}"

    def _connect(self, uri: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._wait, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _is_at_rest(self) -> bool:
        """Whether SQLite cannot make the files that it shares with writers, and no writer has left any."""
        beside = [self.path.with_name(f"{self.path.name}{suffix}") for suffix in ("-wal", "-shm")]
        return not os.access(self.path.parent, os.W_OK) and not any(path.exists() for path in beside)

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TuningLogError(f"{self.name} cannot be made ({error.strerror}); choose another place") from error


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail, not wait, when another one wrote in between.
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _explanation(error: BaseException) -> str:
    text = first_line(error)
    return next((told for fragment, told in _EXPLANATIONS.items() if fragment in text), text)
