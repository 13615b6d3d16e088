"""A PostgreSQL server of the tests' own: in a temporary folder, on the loopback, behind a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

REQUIRED = "INTBERT_REQUIRE_POSTGRESQL"
"""Where this is 1, a machine that has no PostgreSQL fails the tests instead of skipping them."""

USER, PASSWORD = "tuner", "p@ss:w/rd%1"
PASSWORD_IN_URL = "p%40ss%3Aw%2Frd%251"
SECONDS = 60


class UnavailableError(Exception):
    """There is no PostgreSQL here; the message says what is missing."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    binaries: Path
    folder: Path
    port: int

    def url(self, database: str, password: str = PASSWORD_IN_URL) -> str:
        """Of a database that may not exist."""
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of a database that is empty."""
        name = f"log_{secrets.token_hex(6)}"
        with self.connect("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def connect(self, database: str) -> psycopg.Connection:
        """A connection of the test's own, which commits each statement."""
        return psycopg.connect(self.url(database), autocommit=True)

    def restart(self, mode: str = "immediate") -> None:
        """Stops the server, "immediate" without any farewell, and starts it again."""
        self.control("stop", "-m", mode)
        self.control("start")

    def control(self, *arguments: str) -> None:
        """Runs pg_ctl."""
        # No test cuts the power, so nothing has to wait for the disk.
        options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -p {self.port}"
        command = [self.binaries / "pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "server.log"]
        _run_as_ordinary_user([*map(str, command), "-o", options, *arguments], self.folder)


@contextmanager
def running() -> Iterator[Server]:
    """A server, until the end of the block. UnavailableError where none can be had."""
    binaries = _binaries()
    # Not below pytest's folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="intbert-postgresql-"))
    try:
        _give_to_ordinary_user(folder)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        make = [binaries / "initdb", "-D", folder / "data", "-U", USER, "-A", "scram-sha-256", "-E", "UTF8"]
        options = ["--pwfile", secret, "--no-sync", "--no-locale"]
        _run_as_ordinary_user([*map(str, make), *map(str, options)], folder)
        server = Server(binaries, folder, _free_port())
        server.control("start")
        try:
            yield server
        finally:
            server.control("stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def skip_or_fail(reason: UnavailableError) -> NoReturn:
    """Ends the test that needs the server."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but there is no PostgreSQL: {reason}")
    pytest.skip(f"no PostgreSQL: {reason}")


def _ordinary_user() -> str | None:
    """The user to run as, where this is root, whom PostgreSQL refuses; None where this is an ordinary one already."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    # Debian keeps them off the PATH, a folder for each version.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not folders:
        raise UnavailableError("no initdb; Debian and Ubuntu: apt install postgresql")
    return folders[-1].parent


def _give_to_ordinary_user(folder: Path) -> None:
    folder.chmod(0o755)
    user = _ordinary_user()
    if user is not None:
        shutil.chown(folder, user)


def _run_as_ordinary_user(command: list[str], folder: Path) -> None:
    """Runs a program; UnavailableError with the end of what it printed when it fails."""
    report = folder / "report"
    user = _ordinary_user()
    with report.open("wb") as sink:
        # To a file: the server that pg_ctl starts keeps the descriptors, a pipe would never end.
        done = subprocess.run(command, stdout=sink, stderr=sink, cwd=folder, user=user, timeout=SECONDS, check=False)
    if done.returncode:
        raise UnavailableError(f"{Path(command[0]).name} failed: {report.read_text(errors='replace')[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
