"""Records to try a log with."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from intbert.schedules.tuning_log import Conditions, Device, Record, Versions, Workload

START = datetime(2030, 1, 31, 12, 0, 0, 123456, tzinfo=timezone.utc)
TVM = "0.27.0.post1"
PI = Device("pi", "Raspberry Pi 4 Model B Rev 1.5", "4x Cortex-A72", 4)
VERSIONS = Versions(TVM, "0.1.14.post1", "22.1.0", "5d41402abc4b2a76")


def workload(number: int = 0, operator: str = "linear") -> Workload:
    return Workload(f"{number:016x}", f'{{"nodes":[{number}]}}', operator, f"128 x {number} x 384, batch 1")


def record(seconds: float | tuple[float, ...] = 1e-3, *, at: int = 0, **changed: Any) -> Record:
    """A good record; ``at``: seconds after the first."""
    fields: dict[str, Any] = {
        "workload": workload(),
        "strategy": "dotprod",
        "trace": '[[["GetSBlock",[],["C","main"],["b0"]]],[]]',
        "seconds": seconds if isinstance(seconds, tuple) else (seconds,),
        "threads": 1,
        "features": frozenset({"neon"}),
        "target": "rpi4",
        "device": PI,
        "versions": VERSIONS,
        "tuned_at": START + timedelta(seconds=at),
        "conditions": Conditions(1.5e9, 51.25, "ondemand", False),
        "checked_by": "oracle",
    }
    return Record(**{**fields, **changed})


def failed(error: str = "the build did not end within 60 s", **changed: Any) -> Record:
    return record((), error=error, checked_by=None, **changed)
