"""The tuning log, open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ...errors import TuningLogError
from . import schema, selection
from .filter import EVERYTHING, Filter
from .pruning import PrunePlan
from .record import Record, Workload
from .rows import Reader, Writer, batches, microseconds, whole_records
from .store import Store, first_line
from .summary import Summary, summarize

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

T = TypeVar("T")

RETRY_SECONDS = 0.2
FETCHED = 1000
"""Rows that a stream of records holds at once."""


@dataclass(frozen=True)
class Added:
    """What became of records: how many were new, and how many were there already."""

    new: int = 0
    known: int = 0

    def __add__(self, other: Added) -> Added:
        return Added(self.new + other.new, self.known + other.known)


class TuningLog:
    """Measurements in a database; :func:`.open_log` opens one.

    Threads and processes may share a log, each process with its own object. Every method raises TuningLogError when
    the database fails; what a method was to write is then written entirely or not at all, and the log opens again.
    """

    def __init__(self, store: Store, read_only: bool, wait: float) -> None:
        self._store, self._read_only, self._wait = store, read_only, wait
        self._writer = Writer(store)

    def __enter__(self) -> TuningLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return self._store.name

    def close(self) -> None:
        """Closes the connections; what was added is safe without."""
        self._store.close()

    # Writing.

    def add(self, record: Record) -> None:
        """Adds a measurement, which is on the disk when this returns. One whose id is there already changes nothing."""
        self.add_many([record])

    def add_many(self, records: Iterable[Record]) -> Added:
        """Adds measurements in batches; each batch is on the disk, entirely, before the next one begins."""
        total = Added()
        for batch in batches(records):
            new, found = self._write(lambda connection, batch=batch: self._writer.insert(connection, batch))
            self._writer.remember(found)
            total += Added(new, len(batch) - new)
        return total

    def keep_model(self, key: str, data: bytes) -> None:
        """Keeps a cost model under ``key`` (at most 200 characters), in place of an earlier one."""
        if not 0 < len(key) <= 200:
            raise TuningLogError(f"a cost model's key has 1 to 200 characters, not {len(key)}")
        row = {"key": key, "data": data, "kept_at": microseconds(datetime.now(timezone.utc))}
        self._write(lambda connection: connection.execute(self._store.upsert(schema.cost_models, "key"), [row]))

    def apply(self, plan: PrunePlan) -> int:
        """Deletes what ``plan`` names, all or nothing, and gives back the disk space; the number of records deleted."""
        deleted = self._write(lambda connection: _delete(connection, plan.ids))
        self._store.reclaim()
        return deleted

    def merge(self, other: TuningLog) -> Added:
        """Adds all records of ``other``, and its cost models where there is none under the same key."""
        added = self.add_many(other.records())
        for key in other.summary().cost_models:
            data = other.model(key)
            if data is not None and self.model(key) is None:
                self.keep_model(key, data)
        return added

    # Reading.

    def best(self, hashes: Iterable[str], *, features: Iterable[str], tvm: str, threads: int) -> dict[str, Record]:
        """The fastest usable record of each workload, by the median of its seconds, of those that a machine with
        ``features`` can run, that release ``tvm`` of TVM made, and that were measured with ``threads``.

        A measured one comes before any estimated one. Workloads without such a record are left out.
        """
        wanted = list(dict.fromkeys(hashes))

        def look(connection: Connection) -> dict[str, Record]:
            suitable = _suitable(connection, features, tvm, threads)
            found: dict[str, str] = {}
            for batch in batches(wanted):
                rows = connection.execute(selection.best_ids(batch, suitable))
                found |= {hash: id for hash, id in rows if id is not None}
            records = _by_id(connection, list(found.values()))
            return {hash: records[found[hash]] for hash in wanted if hash in found}

        return self._read(look)

    def top(self, hash: str, k: int, *, features: Iterable[str], tvm: str, threads: int) -> list[Record]:
        """The ``k`` best records of one workload, of those that :meth:`best` would choose from; the best first."""

        def look(connection: Connection) -> list[Record]:
            suitable = _suitable(connection, features, tvm, threads)
            query = select(schema.records.c.id).where(selection.of_workload(hash), suitable.condition())
            return _in_order(connection, query.order_by(*selection.RANK).limit(k))

        return self._read(look)

    def near(
        self, workload: Workload, *, features: Iterable[str], tvm: str, threads: int, limit: int = 32
    ) -> list[Record]:
        """Records that may hint at good schedules for ``workload``, though they do not suit: first the fastest ones of
        the same workload built with other features or by another TVM, then the best one of each other workload of the
        same operator, the newest first. All are usable, and were measured with ``threads``; at most ``limit``.
        """

        def look(connection: Connection) -> list[Record]:
            suitable = _suitable(connection, features, tvm, threads)
            r = schema.records.c
            others = (
                select(r.id)
                .where(selection.of_workload(workload.hash), selection.IS_USABLE, r.threads == threads)
                .where(r.target_id.not_in(suitable.targets) | r.versions_id.not_in(suitable.versions))
            )
            found = _in_order(connection, others.order_by(*selection.RANK).limit(limit))
            ids = connection.scalars(selection.best_of_operator(workload.operator, workload.hash, threads))
            shapes = _by_id(connection, [id for id in ids if id is not None]).values()
            found += sorted(shapes, key=lambda record: (record.tuned_at, record.id), reverse=True)
            return found[:limit]

        return self._read(look)

    def thread_counts(self, hashes: Iterable[str], *, features: Iterable[str], tvm: str) -> dict[int, int]:
        """Number of threads -> number of records that :meth:`best` would choose from, over all the workloads."""
        wanted = list(dict.fromkeys(hashes))

        def look(connection: Connection) -> dict[int, int]:
            suitable = _suitable(connection, features, tvm, 0)
            r, w = schema.records.c, schema.workloads.c
            counts: dict[int, int] = {}
            for batch in batches(wanted):
                query = (
                    select(r.threads, func.count())
                    .where(r.workload_id.in_(select(w.id).where(w.hash.in_(batch))), selection.IS_USABLE)
                    .where(r.target_id.in_(suitable.targets), r.versions_id.in_(suitable.versions))
                    .group_by(r.threads)
                )
                for threads, number in connection.execute(query):
                    counts[threads] = counts.get(threads, 0) + number
            return dict(sorted(counts.items()))

        return self._read(look)

    def records(self, filter: Filter = EVERYTHING, *, last: int | None = None) -> Iterator[Record]:
        """The records that ``filter`` leaves, in order of time; only the ``last`` so many of them if given.

        They are read while they are consumed, from one state of the log.
        """
        r = schema.records.c
        query = whole_records().where(*selection.chosen(filter))
        if last is not None:
            newest = select(r.id).where(*selection.chosen(filter)).order_by(r.tuned_at.desc(), r.id.desc()).limit(last)
            query = whole_records().where(r.id.in_(newest))
        query = query.order_by(r.tuned_at, r.id)
        with self._store.reading() as connection:
            reader = Reader(connection)
            streaming = {"stream_results": True, "yield_per": FETCHED}
            with connection.execute(query, execution_options=streaming) as rows:
                for row in rows:
                    yield reader.record(row)

    def find(self, beginning: str) -> Record:
        """The record whose id begins so. TuningLogError when there is none, or there are several."""
        if not beginning:
            raise TuningLogError("give the id of a record, or its beginning")

        def look(connection: Connection) -> Record:
            r = schema.records.c
            ids = list(
                connection.scalars(
                    select(r.id).where(r.id.startswith(beginning, autoescape=True)).order_by(r.id).limit(2)
                )
            )
            if not ids:
                raise TuningLogError(
                    f"{self}: no record's id begins with {beginning!r}; `intbert logs list` has the ids"
                )
            if len(ids) > 1:
                raise TuningLogError(f"{self}: several records' ids begin with {beginning!r}; give more of it")
            return _by_id(connection, ids)[ids[0]]

        return self._read(look)

    def workloads(self, operator: str | None = None) -> list[Workload]:
        """The workloads, or those of one operator, sorted by operator, shape and hash."""

        def look(connection: Connection) -> list[Workload]:
            w = schema.workloads.c
            query = select(w.hash, w.ir, w.operator, w.shape).order_by(w.operator, w.shape, w.hash)
            if operator is not None:
                query = query.where(w.operator == operator)
            return [Workload(*row) for row in connection.execute(query)]

        return self._read(look)

    def bests(self, filter: Filter = EVERYTHING) -> list[Record]:
        """The best usable record of each workload, set of features and number of threads, of those that ``filter``
        leaves; in order of operator, shape, features and threads."""

        def look(connection: Connection) -> list[Record]:
            ids = list(connection.scalars(selection.best_of_groups(selection.chosen(filter))))
            found = _by_id(connection, ids).values()
            return sorted(
                found,
                key=lambda r: (r.workload.operator, r.workload.shape, r.workload.hash, sorted(r.features), r.threads),
            )

        return self._read(look)

    def count(self, filter: Filter = EVERYTHING) -> int:
        """The number of records that ``filter`` leaves."""
        query = select(func.count()).select_from(schema.records).where(*selection.chosen(filter))
        return self._read(lambda connection: connection.scalar(query)) or 0

    def model(self, key: str) -> bytes | None:
        """The cost model kept under ``key``, None when there is none."""
        query = select(schema.cost_models.c.data).where(schema.cost_models.c.key == key)
        data = self._read(lambda connection: connection.scalar(query))
        return None if data is None else bytes(data)

    def summary(self) -> Summary:
        """The log in figures."""
        return self._read(summarize)

    def prune(self, keep: int) -> PrunePlan:
        """What to delete so that the best ``keep`` records stay of each workload, device, set of features, number of
        threads and release of TVM: the others, and all that failed. Deletes nothing: :meth:`apply` does."""
        if keep < 1:
            raise TuningLogError(f"to keep {keep} records of each workload would leave nothing; keep at least 1")

        def look(connection: Connection) -> PrunePlan:
            return PrunePlan.of(keep, [tuple(row) for row in connection.execute(selection.beyond(keep))])

        return self._read(look)

    def _read(self, look: Callable[[Connection], T]) -> T:
        with self._store.reading() as connection:
            return look(connection)

    def _write(self, change: Callable[[Connection], T]) -> T:
        """Does ``change`` in a transaction, again while the database asks for it or its server restarts.

        ``change`` must come to the same when it was done already: an acknowledgement can be lost on its way.
        """
        if self._read_only:
            raise TuningLogError(f"{self}: the log is open for reading only")
        deadline = time.monotonic() + self._wait
        while True:
            try:
                with self._store.writing() as connection:
                    return change(connection)
            except DBAPIError as error:
                if not self._store.passes(error) or time.monotonic() > deadline:
                    raise self._store.explained(error) from error
            except SQLAlchemyError as error:
                raise TuningLogError(f"{self}: {first_line(error)}") from error
            time.sleep(RETRY_SECONDS)


def _suitable(connection: Connection, features: Iterable[str], tvm: str, threads: int) -> selection.Suitable:
    return selection.Suitable(
        selection.targets_within(connection, features), selection.versions_of(connection, tvm), threads
    )


def _by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Record]:
    reader, found = Reader(connection), {}
    for batch in batches(ids):
        for row in connection.execute(whole_records().where(schema.records.c.id.in_(batch))).all():
            found[row.id] = reader.record(row)
    return found


def _in_order(connection: Connection, query: Select[Any]) -> list[Record]:
    """The records whose ids ``query`` returns, in its order."""
    ids = list(connection.scalars(query))
    records = _by_id(connection, ids)
    return [records[id] for id in ids]


def _delete(connection: Connection, ids: Sequence[str]) -> int:
    deleted = 0
    for batch in batches(ids):
        deleted += connection.execute(delete(schema.records).where(schema.records.c.id.in_(batch))).rowcount
    return deleted
