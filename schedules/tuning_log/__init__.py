"""The tuning log: a database of what was measured, on what, and how it was checked.

with open_log("tuning.db") as log:                  # or postgresql://...
    log.add(record)                                 # on the disk when it returns
    log.best(hashes, features=target.tuning_features, tvm="0.27.0.post1", threads=4)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .filter import EVERYTHING, Filter
from .record import Conditions, Device, Record, Versions, Workload, new_id
from .store import WAIT_SECONDS

if TYPE_CHECKING:
    from .log import TuningLog

__all__ = [
    "EVERYTHING",
    "Conditions",
    "Device",
    "Filter",
    "Record",
    "TuningLog",
    "Versions",
    "Workload",
    "new_id",
    "open_log",
]


def open_log(url: str | Path, *, read_only: bool = False, wait: float = WAIT_SECONDS) -> TuningLog:
    """The log at ``url``: the path of an SQLite file, ``sqlite:///FILE``, or ``postgresql://USER@HOST/DATABASE``.

    One that is not there, or is empty, is made; one of an older schema is brought up to date, after a copy of an
    SQLite file was kept beside it; neither when ``read_only``. ``wait``: seconds for a lock that another process
    holds, and for a server. Use it as a context manager, or close it.

    Raises TuningLogError when the database cannot be reached, or is locked, cannot be written, was written by a newer
    intbert, or is no tuning log. ModuleNotFoundError without the extra ``tune``.
    """
    from .opening import opened

    return opened(url, read_only, wait)


def __getattr__(name: str) -> object:
    if name != "TuningLog":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .log import TuningLog

    return TuningLog
