"""What was acknowledged is there, once, whatever happens to whoever writes. `make log-soak KILLS=1000` kills more."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from intbert.schedules.tuning_log import open_log

from . import writers
from .writers import record_of

KILLS = int(os.environ.get("INTBERT_LOG_SOAK_KILLS", "40"))
WRITERS = 8
LONGEST_PAUSE = 0.06
"""Seconds between two kills: some writers are hit while they open the log, most while they write."""
SECONDS = 120


class Nursery:
    """Starts writers; knows what they told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, writers.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._number = 0

    def start(self, url: str, count: int = 0) -> int:
        """A new writer's process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._number += 1
        print(count, url, self._folder / f"{self._number}.told", file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def told(self, word: str) -> list[str]:
        """What all writers, dead or alive, told behind ``word``."""
        lines = [line for path in self._folder.glob("*.told") for line in path.read_text().splitlines()]
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == word]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    folder = tmp_path / "told"
    folder.mkdir()
    opened = Nursery(folder)
    yield opened
    opened.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def test_killed_writers_lose_nothing_and_double_nothing(url: str, nursery: Nursery) -> None:
    choose = random.Random(0)
    alive = [nursery.start(url) for _ in range(WRITERS)]
    for kill in range(KILLS):
        time.sleep(choose.uniform(0, LONGEST_PAUSE))
        os.kill(alive.pop(choose.randrange(len(alive))), signal.SIGKILL)
        alive.append(nursery.start(url))
        if kill % 10 == 0:
            open_log(url).close()
    wait_until(lambda: len(nursery.told("done")) >= KILLS)
    for writer in alive:
        os.kill(writer, signal.SIGKILL)
    with open_log(url) as log:
        # A server may still be committing what its killed client had sent.
        tried, done = set(nursery.told("try")), nursery.told("done")
        found = [record.id for record in log.records()]
        assert nursery.told("failed") == []
        assert len(set(found)) == len(found)
        assert set(done) <= set(found) <= tried
        assert all(record == record_of(record.id) for record in log.records())
        assert log.count() >= len(done)
    if "://" not in url:
        with closing(sqlite3.connect(url)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    print(f"{KILLS} kills, {len(done)} records acknowledged, {len(found)} there")


def test_a_log_that_many_open_first_at_once(new_url: Callable[[], str], nursery: Nursery) -> None:
    for _ in range(3):
        url = new_url()
        for _ in range(WRITERS):
            nursery.start(url, count=3)
        wait_until(lambda: len(nursery.told("over")) + len(nursery.told("failed")) == WRITERS)
        assert nursery.told("failed") == []
        with open_log(url, read_only=True) as log:
            assert {record.id for record in log.records()} == set(nursery.told("done"))
            assert log.count() == 3 * WRITERS
            assert log.summary().workloads <= 7
        for path in nursery._folder.iterdir():
            path.unlink()


FILL = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from intbert.errors import OutputError, TuningLogError
from intbert.schedules.tuning_log import open_log
from intbert.schedules.tuning_log.lines import export_lines
sys.path.insert(0, sys.argv[2])
from writers import record_of
path = Path(sys.argv[1]) / "log.db"
ballast = path.with_name("ballast")
ballast.write_bytes(bytes(2**18))
log = open_log(path)
added = []
try:
    while True:
        id = f"{len(added):032x}"
        log.add(record_of(id))
        added.append(id)
except TuningLogError as error:
    print(error)
try:
    export_lines(log, path.with_name("out.jsonl"))
except OutputError as error:
    print(error)
log.close()
ballast.unlink()
with open_log(path) as again:
    again.add(record_of("f" * 32))
    added.append("f" * 32)
    assert [record.id for record in again.records()] == added, "records were lost"
    assert all(record == record_of(record.id) for record in again.records())
print(len(added) > 50, sorted(each.name for each in path.parent.iterdir() if "partial" in each.name))
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """On a real one, of 8 MiB: nothing that was acknowledged is lost, and with some room the log goes on."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare, so no disk of the test's own")
    disk = tmp_path / "disk"
    disk.mkdir()
    program = tmp_path / "fill.py"
    program.write_text(FILL)
    mount = f'mount -t tmpfs -o size=8m tmpfs "{disk}" && exec "$@"'
    apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    command = [*apart, sys.executable, program, disk, Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"no mounts in a namespace of the test's own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == (f"{disk}/log.db: the disk is full, this was not written; free some space and do it again")
    assert told[1].startswith(f"{disk}/out.jsonl cannot be written (No space left on device)")
    assert told[2] == "True []"
