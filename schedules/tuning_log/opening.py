"""Opening a tuning log: what is found at its address is made, brought up to date, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from ...errors import TuningLogError
from . import schema
from .address import FileAddress, ServerAddress, parse
from .log import TuningLog
from .store import WAIT_SECONDS, Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


def opened(url: str | Path, read_only: bool, wait: float = WAIT_SECONDS) -> TuningLog:
    """See :func:`intbert.schedules.tuning_log.open_log`."""
    store = _store(url, read_only, wait)
    try:
        _check(store, read_only)
    except BaseException:
        store.close()
        raise
    return TuningLog(store, read_only, wait)


def existing(url: str | Path, wait: float = WAIT_SECONDS) -> TuningLog:
    """The log at ``url``, for writing, brought up to date; TuningLogError when there is none."""
    store = _store(url, True, wait)
    try:
        with store.reading() as connection:
            if _schema_of(connection, store) is None:
                raise _nothing_in(store)
    finally:
        store.close()
    return opened(url, False, wait)


def _store(url: str | Path, read_only: bool, wait: float) -> Store:
    address = parse(url)
    return _STORES[type(address)](address, read_only, wait)


def _nothing_in(store: Store) -> TuningLogError:
    return TuningLogError(f"{store.name} is empty: there is no tuning log in it")


def _sqlite(address: Any, read_only: bool, wait: float) -> Store:
    from .sqlite import SqliteStore

    return SqliteStore(address, read_only, wait)


def _postgresql(address: Any, read_only: bool, wait: float) -> Store:
    from .postgresql import PostgresqlStore

    return PostgresqlStore(address, read_only, wait)


_STORES: dict[type, Callable[[Any, bool, float], Store]] = {FileAddress: _sqlite, ServerAddress: _postgresql}


def _check(store: Store, read_only: bool) -> None:
    """TuningLogError unless the database is, or has become, a log of this release's schema."""
    with store.reading() as connection:
        found = _schema_of(connection, store)
    if read_only:
        if found is None:
            raise _nothing_in(store)
        if found < schema.SCHEMA:
            raise TuningLogError(
                f"{store.name} is a tuning log of schema {found}, this intbert reads {schema.SCHEMA}; "
                "run `intbert logs upgrade`"
            )
        return
    store.prepare()
    if found == schema.SCHEMA:
        return
    with store.explaining(), store.writing() as connection:
        store.lock_schema(connection)
        found = _schema_of(connection, store)  # another process may have been faster
        if found == schema.SCHEMA:
            return
        if found is not None:
            store.keep_copy(found)
        _migrate(connection)


def _schema_of(connection: Connection, store: Store) -> int | None:
    """The schema of the log that the database holds; None when it is empty."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if schema.VERSION_TABLE not in tables:
        raise TuningLogError(f"{store.name} is a database, but no tuning log; give another, or an empty one")
    try:
        version = connection.execute(text(f"SELECT version_num FROM {schema.VERSION_TABLE}")).scalar_one()
        number = int(version)
    except DBAPIError:
        raise
    except Exception:
        raise TuningLogError(f"{store.name} does not say of which schema it is; restore a copy of it") from None
    if number > schema.SCHEMA:
        raise TuningLogError(
            f"{store.name} is a tuning log of schema {number}, this intbert knows them up to {schema.SCHEMA}; "
            "upgrade intbert"
        )
    return number


def _migrate(connection: Connection) -> None:
    """Runs the scripts that the log lacks, in the transaction of ``connection``."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection, "version_table": schema.VERSION_TABLE})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, str(schema.SCHEMA))
