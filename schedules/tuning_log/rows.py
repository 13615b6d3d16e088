"""Records as rows of the tables, and back."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, Table, select

from . import schema
from .record import ESTIMATED, MEASURED, Conditions, Device, Record, Versions, Workload

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from .store import Store

BATCH = 500
"""Values in one statement: within every database's limit."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(time: datetime) -> int:
    """Since 1970, UTC."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(value: int) -> datetime:
    """The inverse of :func:`microseconds`."""
    return _EPOCH + value * _MICROSECOND


def batches(values: Iterable[Any], size: int = BATCH) -> Iterable[list[Any]]:
    """The values in lists of at most ``size``."""
    batch: list[Any] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@dataclass(frozen=True)
class _Part:
    """A table whose rows many records share. ``key``: the columns that tell rows apart."""

    table: Table
    key: tuple[str, ...]


_WORKLOADS = _Part(schema.workloads, ("hash",))
_DEVICES = _Part(schema.devices, ("name", "model", "cpu", "cores"))
_VERSIONS = _Part(schema.versions, ("tvm", "ffi", "llvm", "space"))
_TARGETS = _Part(schema.targets, ("name", "features"))

_COLUMNS: dict[str, tuple[_Part, Any]] = {
    # In this order everywhere: two writers that insert the same rows wait for each other, never in a circle.
    "workload_id": (
        _WORKLOADS,
        lambda r: {
            "hash": r.workload.hash,
            "operator": r.workload.operator,
            "shape": r.workload.shape,
            "ir": r.workload.ir,
        },
    ),
    "device_id": (_DEVICES, lambda r: _fields(r.device, _DEVICES.key)),
    "versions_id": (_VERSIONS, lambda r: _fields(r.versions, _VERSIONS.key)),
    "target_id": (_TARGETS, lambda r: {"name": r.target, "features": feature_text(r.features)}),
}
"""Column of the records -> the table that it points into, and the row there of a record."""


def _fields(value: object, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def feature_text(features: Iterable[str]) -> str:
    """Features as the tables hold them."""
    return " ".join(sorted(features))


class Writer:
    """Inserts records; remembers which shared rows there are, as they are never deleted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, dict[Hashable, int]] = {column: {} for column in _COLUMNS}

    def insert(self, connection: Connection, records: Sequence[Record]) -> tuple[int, dict[str, dict[Hashable, int]]]:
        """Inserts those of ``records`` (at most :data:`BATCH`) that are not there.

        Returns how many those were, and what :meth:`remember` may be told once the transaction is durable.
        """
        by_id = {record.id: record for record in records}
        ids = schema.records.c.id
        there = set(connection.scalars(select(ids).where(ids.in_(list(by_id)))))
        new = [by_id[key] for key in sorted(by_id.keys() - there)]
        if not new:
            return 0, {}
        found = {column: self._ids(connection, column, new) for column in _COLUMNS}
        rows = [_row(record) | {column: found[column][_key(column, record)] for column in _COLUMNS} for record in new]
        connection.execute(self._store.insert(schema.records), rows)
        connection.execute(
            self._store.insert(schema.traces), [{"record_id": record.id, "trace": record.trace} for record in new]
        )
        return len(new), found

    def remember(self, found: Mapping[str, Mapping[Hashable, int]]) -> None:
        """Of a transaction that succeeded."""
        for column, ids in found.items():
            self._known[column].update(ids)

    def _ids(self, connection: Connection, column: str, records: Sequence[Record]) -> dict[Hashable, int]:
        part, row_of = _COLUMNS[column]
        known = self._known[column]
        wanted = {_key(column, record): record for record in records}
        missing = {key: record for key, record in wanted.items() if key not in known}
        if not missing:
            return known
        found = _find(connection, part, list(missing))
        absent = sorted(missing.keys() - found.keys())
        if absent:
            connection.execute(self._store.insert(part.table), [row_of(missing[key]) for key in absent])
            found |= _find(connection, part, absent)
        return known | found


def _key(column: str, record: Record) -> tuple[Any, ...]:
    part, row_of = _COLUMNS[column]
    row = row_of(record)
    return tuple(row[name] for name in part.key)


def _find(connection: Connection, part: _Part, keys: Sequence[tuple[Any, ...]]) -> dict[Hashable, int]:
    columns = [part.table.c[name] for name in part.key]
    query = select(part.table.c.id, *columns).where(columns[0].in_({key[0] for key in keys}))
    return {tuple(row[1:]): row[0] for row in connection.execute(query)}


def _row(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "strategy": record.strategy,
        "threads": record.threads,
        "estimated": record.source == ESTIMATED,
        "seconds": json.dumps(record.seconds),
        "median_seconds": record.median_seconds,
        "error": record.error,
        "checked_by": record.checked_by,
        "clock_hz": record.conditions.clock_hz,
        "temperature_celsius": record.conditions.temperature_celsius,
        "governor": record.conditions.governor,
        "throttled": record.conditions.throttled,
        "usable": record.usable,
        "tuned_at": microseconds(record.tuned_at),
    }


def whole_records() -> Select[Any]:
    """The query whose rows :class:`Reader` turns into records."""
    return select(schema.records, schema.traces.c.trace).join(schema.traces)


class Reader:
    """Makes records of rows; what many records share is fetched once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._devices = self._all(schema.devices, lambda r: Device(r.name, r.model, r.cpu, r.cores))
        self._versions = self._all(schema.versions, lambda r: Versions(r.tvm, r.ffi, r.llvm, r.space))
        self._targets = self._all(schema.targets, lambda r: (r.name, frozenset(r.features.split())))
        self._workloads: dict[int, Workload] = {}

    def record(self, row: Row[Any]) -> Record:
        """The record of a row of :func:`whole_records`."""
        target, features = self._targets[row.target_id]
        return Record(
            id=row.id,
            workload=self._workload(row.workload_id),
            strategy=row.strategy,
            trace=row.trace,
            seconds=tuple(json.loads(row.seconds)),
            error=row.error,
            threads=row.threads,
            source=ESTIMATED if row.estimated else MEASURED,
            features=features,
            target=target,
            device=self._devices[row.device_id],
            conditions=Conditions(row.clock_hz, row.temperature_celsius, row.governor, row.throttled),
            versions=self._versions[row.versions_id],
            checked_by=row.checked_by,
            tuned_at=time_of(row.tuned_at),
        )

    def _workload(self, number: int) -> Workload:
        if number not in self._workloads:
            table = schema.workloads
            row = self._connection.execute(select(table).where(table.c.id == number)).one()
            self._workloads[number] = Workload(row.hash, row.ir, row.operator, row.shape)
        return self._workloads[number]

    def _all(self, table: Table, make: Any) -> dict[int, Any]:
        return {row.id: make(row) for row in self._connection.execute(select(table))}
