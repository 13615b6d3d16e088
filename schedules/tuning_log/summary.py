"""A log in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from . import schema
from .rows import time_of
from .selection import OUTCOME

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True)
class Summary:
    """Numbers of records: in all, and by outcome, operator, device, target and release of TVM; of workloads; the times
    of the oldest and of the newest record, None when there are none. ``cost_models``: the sizes in bytes by key."""

    records: int
    workloads: int
    outcomes: Mapping[str, int]
    operators: Mapping[str, int]
    devices: Mapping[str, int]
    targets: Mapping[str, int]
    tvm: Mapping[str, int]
    oldest: datetime | None
    newest: datetime | None
    cost_models: Mapping[str, int]


def summarize(connection: Connection) -> Summary:
    """The figures of the log behind ``connection``."""
    r = schema.records.c
    number, oldest, newest = connection.execute(select(func.count(), func.min(r.tuned_at), func.max(r.tuned_at))).one()

    def by(label: Any, table: Any = None, column: Any = None) -> dict[str, int]:
        query = select(label, func.count()).select_from(schema.records).group_by(label).order_by(label)
        if table is not None:
            query = query.join(table, column == table.c.id)
        return {row[0]: row[1] for row in connection.execute(query)}

    models = schema.cost_models.c
    sizes = select(models.key, func.length(models.data)).order_by(models.key)
    return Summary(
        records=number,
        workloads=connection.scalar(select(func.count()).select_from(schema.workloads)) or 0,
        outcomes=by(OUTCOME),
        operators=by(schema.workloads.c.operator, schema.workloads, r.workload_id),
        devices=by(schema.devices.c.name, schema.devices, r.device_id),
        targets=by(schema.targets.c.name, schema.targets, r.target_id),
        tvm=by(schema.versions.c.tvm, schema.versions, r.versions_id),
        oldest=None if oldest is None else time_of(oldest),
        newest=None if newest is None else time_of(newest),
        cost_models={row[0]: row[1] for row in connection.execute(sizes)},
    )
