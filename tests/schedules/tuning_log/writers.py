"""A program that starts writers of a log on command, quickly: they are forked from a process that has loaded all.

Each line on stdin is ``COUNT URL FILE``: a process opens the log at URL and adds COUNT records, or without end where
COUNT is 0. It writes "try ID" to FILE before each, "done ID" once it was acknowledged, "failed MESSAGE" when anything
goes wrong, and "over" at the end. Its process id is printed.
"""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Callable
from datetime import datetime, timezone

import psycopg
from intbert.schedules.tuning_log import Device, Record, Versions, Workload, open_log, opening, postgresql, sqlite

LOADED = (psycopg, opening, postgresql, sqlite)
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


def record_of(id: str) -> Record:
    """The record with this id: all of it follows from the id, so that a reader can tell whether it is whole."""
    number = int(id[:8], 16)
    kind = number % 7
    return Record(
        workload=Workload(f"{kind:x}", f"ir {kind}" * 500, "linear", str(kind)),
        strategy="dotprod",
        trace=id * 60,
        seconds=(number + 1.0,),
        threads=1 + number % 4,
        features=frozenset({"neon"}),
        target="rpi4",
        device=Device(f"pi{number % 5}", "Raspberry Pi 4", "Cortex-A72", 4),
        versions=Versions("1", "2", "3", str(number % 3)),
        tuned_at=NOW,
        checked_by="oracle",
        id=id,
    )


def write(count: int, url: str, tell: Callable[[str], object]) -> None:
    with open_log(url) as log:
        done = 0
        while count == 0 or done < count:
            id = uuid.uuid4().hex
            tell(f"try {id}")
            log.add(record_of(id))
            tell(f"done {id}")
            done += 1


def serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        count, url, path = line.split()
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def tell(message: str, sink: int = sink) -> None:
            os.write(sink, f"{message}\n".encode())

        try:
            write(int(count), url, tell)
            tell("over")
        except BaseException as error:
            tell(f"failed {error!r}")
        os._exit(0)


if __name__ == "__main__":
    serve()
