"""A session with a device: ssh, the runtime, the lease, the server, the tunnel, and TVM's RPC through all of it."""

from __future__ import annotations

import getpass
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from ...errors import AuthenticationError, BusyError, RemoteError
from ..devices.device import Device
from ..devices.installation import BoardFolder, install, wheels_for
from ..devices.inventory import Inventory
from ..ssh import Login, SshConnection
from .connection import Connection
from .session import Session, connect

LEASE_SECONDS = 10.0
"""How long a board that ends another session is waited for, unless the user waits longer."""
LOGIN_SECONDS = 20.0
"""For each step of it."""
START_SECONDS = 60.0
CLEANUP_SECONDS = 10.0

AskPassword = Callable[[str], str]
"""Asks the user for the password of an address."""


@dataclass(frozen=True)
class Terms:
    """How to reach boards.

    ``connect``: what logs in; ``ask_password``: None where nobody can be asked; ``wait``: seconds for a board in use;
    ``timeout``: seconds for any answer; ``tell`` hears what happens.
    """

    inventory: Inventory
    connect: Callable[[Login, float], Connection] = SshConnection
    ask_password: AskPassword | None = None
    wait: float = LEASE_SECONDS
    timeout: float = 60.0
    tell: Callable[[str], None] = lambda message: None


@dataclass(frozen=True)
class BoardSession:
    """An open session: ``session`` calls the board over TVM's RPC, ``connection`` is the ssh that carries it."""

    device: Device
    connection: Connection
    session: Session

    @property
    def name(self) -> str:
        """The device's."""
        return self.device.name

    @property
    def sent_bytes(self) -> int:
        """What went to the board so far, ssh's own overhead included."""
        return self.connection.sent_bytes


def log_in(login: Login, terms: Terms) -> Connection:
    """Connects, with a password of the user's only when the keys are not enough."""
    seconds = min(terms.timeout, LOGIN_SECONDS)
    try:
        return terms.connect(login, seconds)
    except AuthenticationError:
        if terms.ask_password is None:
            raise
    return terms.connect(replace(login, password=terms.ask_password(str(login.address))), seconds)


def reach(device: Device, terms: Terms) -> Connection:
    """A connection to the device."""
    return log_in(Login(device.address, terms.inventory.accepted_keys), terms)


@dataclass(frozen=True)
class BoardServer:
    """A server that runs on a board: ``port`` of this machine's loopback leads to it, ``key`` lets a client in."""

    port: int
    key: str


@contextmanager
def board_session(device: Device, terms: Terms) -> Iterator[BoardSession]:
    """Opens a session; when the block ends, so does everything that was started on the board.

    Raises:
        HostKeyError, AuthenticationError, RemoteError: the board cannot be reached, or was lost inside the block.
        BusyError: somebody else uses it, and did for all of ``terms.wait``.
    """
    with _prepared(device, terms) as (ready, connection), served(ready, connection, terms) as session:
        yield BoardSession(ready, connection, session)


@contextmanager
def _prepared(device: Device, terms: Terms) -> Iterator[tuple[Device, Connection]]:
    """A connection to the device, this intbert's runtime installed there."""
    connection = reach(device, terms)
    try:
        yield with_runtime(device, connection, terms), connection
    finally:
        connection.close()


def with_runtime(device: Device, connection: Connection, terms: Terms) -> Device:
    """The device, this intbert's runtime installed on it; nothing is sent when it is there."""
    wheels = wheels_for(device.facts, terms.tell)
    if device.runtime != wheels.digest:
        install(connection, device.facts, wheels, terms.tell)
        device = device.with_runtime(wheels.digest)
        terms.inventory.keep(device)
    return device


@contextmanager
def board_server(device: Device, terms: Terms) -> Iterator[BoardServer]:
    """As :func:`board_session`, but nobody connects to the server: that is for the block to do."""
    with _prepared(device, terms) as (ready, connection), started(ready, connection, terms) as server:
        yield server


@contextmanager
def started(device: Device, connection: Connection, terms: Terms) -> Iterator[BoardServer]:
    """Starts the server over ``connection``, and a port forward to it."""
    name = secrets.token_hex(8)
    ready = _start(device, connection, terms, name)
    try:
        yield BoardServer(connection.forward(ready["port"], seconds=terms.timeout), ready["key"])
    except RemoteError:
        _clean_up(device, connection, name)
        raise


@contextmanager
def served(device: Device, connection: Connection, terms: Terms) -> Iterator[Session]:
    """Starts the server over ``connection`` and connects to it through a port forward."""
    with (
        started(device, connection, terms) as server,
        connect("127.0.0.1", server.port, server.key, timeout=terms.timeout, name=device.name) as session,
    ):
        yield session


def _start(device: Device, connection: Connection, terms: Terms, name: str) -> dict:
    assert device.runtime is not None  # with_runtime() has seen to it
    folder = BoardFolder.of(device.facts)
    command = [folder.python(device.runtime), "-I", "-m", "intbert.rpc.on_board.supervisor", "--home", str(folder.root)]
    command += ["--session", name, "--holder", f"{getpass.getuser()}@{socket.gethostname()}", "--wait", str(terms.wait)]
    line = connection.start(command, seconds=START_SECONDS + terms.wait)
    try:
        answer = json.loads(line)
    except ValueError:
        raise RemoteError(
            f"{device.name}: its server begins with {line[:80]!r}; an account whose shell prints something "
            "when a command is run over ssh cannot be used"
        ) from None
    if "busy" in answer:
        raise _busy(device, answer["busy"])
    return answer


def refuse_busy(device: Device, connection: Connection) -> None:
    """BusyError while somebody has a session on the board. A board without a runtime has none."""
    if device.runtime is None:
        return
    folder = BoardFolder.of(device.facts)
    command = [folder.python(device.runtime), "-I", "-m", "intbert.rpc.on_board.lease", str(folder.root)]
    done = connection.run(command, seconds=START_SECONDS)
    if done.status == 0 and done.output.strip():
        raise _busy(device, json.loads(done.output))


def _busy(device: Device, holder: dict) -> BusyError:
    minutes = max(0.0, time.time() - holder["since"]) / 60
    return BusyError(
        f"{device.name} is in use by {holder['name']} for {minutes:.0f} min; "
        "try again later, or wait for it with --wait SECONDS"
    )


def _clean_up(device: Device, connection: Connection, name: str) -> None:
    """Deletes a session's files when its supervisor may have been killed; otherwise it has done so itself."""
    with suppress(RemoteError):
        folder = BoardFolder.of(device.facts).root / "sessions" / name
        connection.run(["rm", "-rf", str(folder)], seconds=CLEANUP_SECONDS)
