"""The lease of a board: one client at a time, and it ends with the client. Runs on the board.

``python -m intbert.rpc.on_board.lease HOME`` prints who holds it, as JSON, or nothing.

The lease is a lock of the file ``lease`` in the board's folder. The kernel drops it when the process that holds it
ends, however it ends, so that no crash leaves a board busy; what stands in the file says who holds it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Holder:
    """Who uses a board, in words, and since when (seconds since the epoch, by the board's clock)."""

    name: str
    since: float


class Lease:
    """The lease of the board whose folder is ``home``, once it is held."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(home / "lease", os.O_RDWR | os.O_CREAT, 0o600)  # not inherited by programs

    def acquire(self, name: str, seconds: float) -> Holder | None:
        """Waits up to ``seconds`` for the lease; None when it is held now, otherwise who else has it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return self._holder()
                time.sleep(POLL_SECONDS)
            else:
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, json.dumps(asdict(Holder(name, time.time()))).encode(), 0)
                return None

    def _holder(self) -> Holder:
        try:
            return Holder(**json.loads(os.pread(self._descriptor, 1 << 16, 0)))
        except (ValueError, TypeError):  # the other is just writing it
            return Holder("somebody", time.time())

    def close_in_child(self) -> None:
        """In a forked child: lets go of the inherited descriptor, so that the lock ends with the parent."""
        os.close(self._descriptor)


if __name__ == "__main__":
    other = Lease(Path(sys.argv[1])).acquire("somebody who looks", 0.0)
    if other is not None:
        print(json.dumps(asdict(other)))
