"""This machine behind an sshd of the tests' own: the same ssh as to a board, without the emulation."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from intbert.rpc.devices.address import Address
from intbert.rpc.ssh import Login, SshConnection

from ...devices.sshd import Sshd
from ...devices.unavailable import UnavailableError, skip_or_fail

SECONDS = 20.0
COMMAND = """/bin/sh -c 'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'"""


@dataclass(frozen=True)
class Server:
    """A running sshd, and a client's configuration for it in ``folder``."""

    sshd: Sshd
    folder: Path

    @property
    def accepted(self) -> Path:
        return self.folder / "accepted"

    def trust(self) -> None:
        """Puts the server's host key into the client's known_hosts."""
        kind, key, *_ = self.sshd.host_key.read_text().split()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.sshd.port} {kind} {key}\n")

    def login(self, *, port: int | None = None, host: str = "board", extra: str = "", **fields: str) -> Login:
        """A login by the configuration's alias; ``port``: another way to the same server."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        config = self.folder / "config"
        config.write_text(
            f"Host board jump\n  HostName 127.0.0.1\n  Port {port or self.sshd.port}\n"
            f"Host *\n  User {user}\n  IdentityFile {self.sshd.client_key}\n  IdentitiesOnly yes\n"
            f"  HostKeyAlias ignored\n  UserKnownHostsFile {self.folder / 'known_hosts'}\n{extra}"
        )
        return Login(Address.parse(host), self.accepted, config=config, **fields)

    def connect(self, **fields: str) -> SshConnection:
        return SshConnection(self.login(port=None, **fields), SECONDS)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    running = Sshd(tmp_path_factory.mktemp("sshd"), COMMAND)
    try:
        running.start()
    except UnavailableError as reason:
        skip_or_fail(reason)
    yield running
    running.stop()


@pytest.fixture
def server(sshd: Sshd, tmp_path: Path) -> Server:
    """The server, its host key known."""
    ready = Server(sshd, tmp_path)
    ready.trust()
    return ready


@pytest.fixture
def connection(server: Server) -> Iterator[SshConnection]:
    opened = server.connect()
    yield opened
    opened.close()
