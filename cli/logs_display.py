"""How records of a tuning log are shown: rows of tables, and documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..schedules.tuning_log import Record
    from ..schedules.tuning_log.comparison import Pair
    from ..schedules.tuning_log.summary import Summary

ID_SHOWN = 8
"""Characters of ids and hashes in tables."""
STATE_SHOWN = 60
"""Characters of why a record failed, in tables."""

COLUMNS = ("id", "tuned at", "operator", "shape", "strategy", "target", "device", "threads", "median us", "state")
BEST_COLUMNS = ("workload", "operator", "shape", "strategy", "median us", "source", "device", "id")
PAIR_COLUMNS = ("operator", "shape", "features", "threads", "first us", "second us", "second / first")


def row(record: Record) -> Sequence[object]:
    """A record, for :data:`COLUMNS`."""
    return (
        record.id[:ID_SHOWN],
        when(record.tuned_at),
        record.workload.operator,
        record.workload.shape,
        record.strategy,
        record.target,
        record.device.name,
        record.threads,
        microseconds(record),
        state(record)[:STATE_SHOWN],
    )


def best_row(record: Record) -> Sequence[object]:
    """A record, for :data:`BEST_COLUMNS`."""
    return (
        record.workload.hash[:ID_SHOWN],
        record.workload.operator,
        record.workload.shape,
        record.strategy,
        microseconds(record),
        record.source,
        record.device.name,
        record.id[:ID_SHOWN],
    )


def pair_row(pair: Pair) -> Sequence[object]:
    """Two records, for :data:`PAIR_COLUMNS`."""
    either = pair.either
    return (
        either.workload.operator,
        either.workload.shape,
        " ".join(sorted(either.features)),
        either.threads,
        "" if pair.first is None else microseconds(pair.first),
        "" if pair.second is None else microseconds(pair.second),
        "only in the first" if pair.second is None else pair.ratio or "only in the second",
    )


def pair_summary(pairs: Iterable[Pair]) -> str:
    """A comparison in a line."""
    pairs = list(pairs)
    ratios = [pair.ratio for pair in pairs if pair.ratio is not None]
    middle = f" (median of second / first: {median(ratios):.3f})" if ratios else ""
    only_first = sum(pair.second is None for pair in pairs)
    only_second = sum(pair.first is None for pair in pairs)
    return f"{len(ratios)} in both{middle}, {only_first} only in the first, {only_second} only in the second"


def details(record: Record) -> dict[str, object]:
    """All of a record but its workload's IR, in words."""
    conditions = record.conditions
    samples = ", ".join(f"{value * 1e6:.3f}" for value in record.seconds)
    clock = None if conditions.clock_hz is None else f"{conditions.clock_hz / 1e6:.0f} MHz"
    temperature = None if conditions.temperature_celsius is None else f"{conditions.temperature_celsius:.1f} C"
    device = record.device
    return {
        "id": record.id,
        "state": state(record),
        "operator": record.workload.operator,
        "shape": record.workload.shape,
        "workload": record.workload.hash,
        "strategy": record.strategy,
        "median us": microseconds(record),
        "samples us": samples,
        "source": record.source,
        "checked by": record.checked_by,
        "threads": record.threads,
        "target": record.target,
        "features": " ".join(sorted(record.features)),
        "device": f"{device.name}: {device.model}, {device.cpu}, {device.cores} cores",
        "clock": clock,
        "temperature": temperature,
        "governor": conditions.governor,
        "throttled": {None: None, True: "yes", False: "no"}[conditions.throttled],
        "TVM": f"{record.versions.tvm}, ffi {record.versions.ffi}, LLVM {record.versions.llvm}",
        "space": record.versions.space,
        "tuned at": record.tuned_at.isoformat(),
        "trace": record.trace,
    }


def document(record: Record) -> dict[str, Any]:
    """A record for --json: what its line in an export says, and what follows from it."""
    from ..schedules.tuning_log.lines import document_of

    return {**document_of(record), "median_seconds": record.median_seconds, "usable": record.usable}


def pair_document(pair: Pair) -> dict[str, Any]:
    """Two records for --json."""
    either = pair.either
    return {
        "operator": either.workload.operator,
        "shape": either.workload.shape,
        "workload": either.workload.hash,
        "features": sorted(either.features),
        "threads": either.threads,
        "first": None if pair.first is None else document(pair.first),
        "second": None if pair.second is None else document(pair.second),
        "ratio": pair.ratio,
    }


def summary_rows(figures: Summary) -> list[Sequence[object]]:
    """The counts, for a table of what, which and how many."""
    return [(kind, name, count) for kind, counts in _counts(figures).items() for name, count in counts.items()]


def summary_document(figures: Summary) -> dict[str, Any]:
    """A log in figures for --json."""
    return {
        "records": figures.records,
        "workloads": figures.workloads,
        **_counts(figures),
        "oldest": None if figures.oldest is None else figures.oldest.isoformat(),
        "newest": None if figures.newest is None else figures.newest.isoformat(),
        "cost_models": dict(figures.cost_models),
    }


def when(time: datetime) -> str:
    """A time to the second."""
    return f"{time:%Y-%m-%d %H:%M:%S}"


def microseconds(record: Record) -> float | str:
    """The median, empty for a record that failed."""
    return "" if record.median_seconds is None else record.median_seconds * 1e6


def state(record: Record) -> str:
    """What became of a record; why, when it failed."""
    return record.error or record.outcome


def _counts(figures: Summary) -> dict[str, dict[str, int]]:
    return {
        "outcomes": dict(figures.outcomes),
        "operators": dict(figures.operators),
        "devices": dict(figures.devices),
        "targets": dict(figures.targets),
        "tvm": dict(figures.tvm),
    }
