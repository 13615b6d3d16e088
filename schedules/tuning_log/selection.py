"""The queries: which records suit whom, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, true

from . import schema
from .filter import Filter
from .record import FAILED, THROTTLED, UNCHECKED, USABLE
from .rows import microseconds

if TYPE_CHECKING:
    from sqlalchemy import Connection

_R = schema.records.c
IS_USABLE = _R.usable == true()  # word for word the condition of the index
RANK = (_R.estimated, _R.median_seconds, _R.id)
"""Measured before estimated, then the faster; the id so that every look-up, in every copy of a log, ends alike."""

OUTCOME = case(
    (_R.error.is_not(None), FAILED),
    (_R.checked_by.is_(None), UNCHECKED),
    (_R.throttled == true(), THROTTLED),
    else_=USABLE,
)


@dataclass(frozen=True)
class Suitable:
    """What a caller's code may use: rows of ``targets`` (ids) and ``versions`` (ids), measured with ``threads``."""

    targets: list[int]
    versions: list[int]
    threads: int

    def condition(self) -> ColumnElement[bool]:
        """Of usable records that suit."""
        return and_(
            IS_USABLE,
            _R.threads == self.threads,
            _R.target_id.in_(self.targets),
            _R.versions_id.in_(self.versions),
        )


def targets_within(connection: Connection, features: Iterable[str]) -> list[int]:
    """Rows of ``targets`` that need no other features."""
    mine = frozenset(features)
    rows = connection.execute(select(schema.targets.c.id, schema.targets.c.features))
    return sorted(number for number, text in rows if frozenset(text.split()) <= mine)


def versions_of(connection: Connection, tvm: str) -> list[int]:
    """Rows of ``versions`` of one release of TVM."""
    return sorted(connection.scalars(select(schema.versions.c.id).where(schema.versions.c.tvm == tvm)))


def best_ids(hashes: list[str], suitable: Suitable) -> Select[Any, Any]:
    """(hash, id of the best record or None) of each workload that the log knows."""
    w = schema.workloads
    best = (
        select(_R.id)
        .where(_R.workload_id == w.c.id, suitable.condition())
        .order_by(*RANK)
        .limit(1)
        .correlate(w)
        .scalar_subquery()
    )
    return select(w.c.hash, best).where(w.c.hash.in_(hashes))


def best_of_operator(operator: str, but: str, threads: int) -> Select[Any]:
    """Ids of the best usable record, whatever its features and versions, of each workload of ``operator`` but one."""
    w = schema.workloads
    best = (
        select(_R.id)
        .where(_R.workload_id == w.c.id, IS_USABLE, _R.threads == threads)
        .order_by(*RANK)
        .limit(1)
        .correlate(w)
        .scalar_subquery()
    )
    return select(best).where(w.c.operator == operator, w.c.hash != but)


def of_workload(hash: str) -> ColumnElement[bool]:
    """The records of the workload with this hash."""
    return _R.workload_id == select(schema.workloads.c.id).where(schema.workloads.c.hash == hash).scalar_subquery()


def chosen(filter: Filter) -> list[ColumnElement[bool]]:
    """What ``filter`` asks for, as conditions."""
    return [_CONDITIONS[name](value) for name, value in vars(filter).items() if value is not None]


def _through(table: Any, column: Any, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return column.in_(select(table.c.id).where(condition))


_CONDITIONS: dict[str, Callable[[Any], ColumnElement[bool]]] = {
    "operator": lambda v: _through(schema.workloads, _R.workload_id, schema.workloads.c.operator == v),
    "workload": lambda v: _through(
        schema.workloads, _R.workload_id, schema.workloads.c.hash.startswith(v, autoescape=True)
    ),
    "strategy": lambda v: _R.strategy == v,
    "target": lambda v: _through(schema.targets, _R.target_id, schema.targets.c.name == v),
    "device": lambda v: _through(schema.devices, _R.device_id, schema.devices.c.name == v),
    "tvm": lambda v: _through(schema.versions, _R.versions_id, schema.versions.c.tvm == v),
    "outcome": lambda v: v == OUTCOME,
    "since": lambda v: _R.tuned_at >= microseconds(v),
}


def best_of_groups(conditions: Iterable[ColumnElement[bool]]) -> Select[Any]:
    """Ids of the best usable record of each workload, set of features, and number of threads."""
    position = func.row_number().over(
        partition_by=(_R.workload_id, schema.targets.c.features, _R.threads), order_by=RANK
    )
    ranked = (
        select(_R.id, position.label("position"))
        .join(schema.targets, _R.target_id == schema.targets.c.id)
        .where(IS_USABLE, *conditions)
        .subquery()
    )
    return select(ranked.c.id).where(ranked.c.position == 1)


def beyond(keep: int) -> Select[Any, Any, Any]:
    """(id, operator, outcome) of what pruning deletes: what failed, and what is not among the first ``keep`` of its
    workload, device, features, threads and release of TVM; there what is usable comes first."""
    position = func.row_number().over(
        partition_by=(
            _R.workload_id,
            _R.device_id,
            schema.targets.c.features,
            _R.threads,
            schema.versions.c.tvm,
            _R.error.is_(None),
        ),
        order_by=(_R.usable.desc(), *RANK),
    )
    ranked = (
        select(_R.id, schema.workloads.c.operator, OUTCOME.label("outcome"), position.label("position"))
        .join(schema.workloads, _R.workload_id == schema.workloads.c.id)
        .join(schema.targets, _R.target_id == schema.targets.c.id)
        .join(schema.versions, _R.versions_id == schema.versions.c.id)
        .subquery()
    )
    gone = or_(ranked.c.outcome == FAILED, ranked.c.position > keep)
    return select(ranked.c.id, ranked.c.operator, ranked.c.outcome).where(gone)
