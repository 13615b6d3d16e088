"""Who is let in, and whom we let ourselves be let in by."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from intbert.errors import AuthenticationError, DeviceError, HostKeyError, RemoteError
from intbert.rpc.devices.address import Address
from intbert.rpc.ssh import Login, SshConnection, forget_key

from ...devices.cable import Cable
from ...devices.sshd import free_port, make_key
from ..farm.processes import eventually
from .conftest import SECONDS, Server

FINGERPRINT = re.compile(r"--accept-host-key (SHA256:[A-Za-z0-9+/]{43})")


def unknown(server: Server) -> Server:
    (server.folder / "known_hosts").write_text("")
    return server


def fingerprint(server: Server) -> str:
    with pytest.raises(HostKeyError, match=r"is unknown: ssh-ed25519") as refused:
        unknown(server).connect()
    found = FINGERPRINT.search(str(refused.value))
    assert found is not None
    return found[1]


def test_an_unknown_host_key_is_refused_and_its_fingerprint_shown(server: Server) -> None:
    fingerprint(server)
    assert not server.accepted.exists()


def test_an_accepted_host_key_is_known_from_then_on(server: Server) -> None:
    server.connect(accept=fingerprint(server)).close()
    server.connect().close()
    forget_key(server.login())
    with pytest.raises(HostKeyError, match="is unknown"):
        server.connect()


@pytest.mark.parametrize("accept", ["SHA256:" + "A" * 43, "", "SHA256:", "yes"])
def test_no_other_fingerprint_will_do(server: Server, accept: str) -> None:
    with pytest.raises(HostKeyError, match="is unknown"):
        unknown(server).connect(accept=accept)
    assert not server.accepted.exists()


@pytest.mark.parametrize("where", ["known_hosts", "accepted"])
def test_a_changed_host_key_is_refused_whatever_is_accepted(server: Server, tmp_path: Path, where: str) -> None:
    real = fingerprint(server)
    make_key(tmp_path / "other")
    kind, key, *_ = (tmp_path / "other.pub").read_text().split()
    (server.folder / where).write_text(f"[127.0.0.1]:{server.sshd.port} {kind} {key}\n")
    with pytest.raises(HostKeyError, match=r"shows another host key .* than the known one .* in between"):
        server.connect(accept=real)


def test_a_wrong_key_is_refused(server: Server, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    login = server.login()
    text = login.config.read_text().replace(str(server.sshd.client_key), str(tmp_path / "stranger"))
    login.config.write_text(text)
    with pytest.raises(AuthenticationError, match=r"refuses .*: no key or password was accepted; try `ssh -p"):
        SshConnection(login, SECONDS)


def test_a_wrong_password_is_refused_and_not_shown(server: Server, tmp_path: Path) -> None:
    login = server.login(password="hunter2")
    login.config.write_text(login.config.read_text().replace(str(server.sshd.client_key), str(tmp_path / "absent")))
    with pytest.raises(AuthenticationError) as refused:
        SshConnection(login, SECONDS)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(login)


def test_nobody_listens(server: Server) -> None:
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1 port \d+: cannot connect .*refused.*is the board on"):
        SshConnection(server.login(port=free_port()), SECONDS)


def test_no_such_host(server: Server) -> None:
    with pytest.raises(RemoteError, match=r"no-such-host\.invalid port 22: no such host"):
        SshConnection(server.login(host="no-such-host.invalid"), SECONDS)


def test_a_board_that_never_answers_is_given_up(server: Server) -> None:
    with Cable(("127.0.0.1", server.sshd.port)) as cable:
        cable.freeze()
        start = time.monotonic()
        with pytest.raises(RemoteError):
            SshConnection(server.login(port=cable.port), 1.0)
        assert time.monotonic() - start < SECONDS


def test_jumps_are_followed(server: Server) -> None:
    """The second hop is reached through the first one only: its port is that of the server there."""
    extra = f"Host inner\n  HostName 127.0.0.1\n  Port {server.sshd.port}\n  ProxyJump jump\n"
    with Cable(("127.0.0.1", server.sshd.port)) as cable:
        known = server.folder / "known_hosts"
        known.write_text(known.read_text() + known.read_text().replace(str(server.sshd.port), str(cable.port)))
        connection = SshConnection(server.login(host="inner", port=cable.port, extra=extra), SECONDS)
        try:
            assert connection.run(["echo", "through"], seconds=SECONDS).output == "through\n"
            # The end of the channel is sent without an answer: it may still be on its way through the cable.
            eventually(lambda: cable.to_server == connection.sent_bytes)
        finally:
            connection.close()


def test_a_proxy_command_is_run(server: Server, tmp_path: Path) -> None:
    program = tmp_path / "proxy.py"
    program.write_text(
        "import os, select, socket, sys\n"
        "end = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "while True:\n"
        "    for ready in select.select([0, end], [], [])[0]:\n"
        "        data = os.read(0, 65536) if ready == 0 else end.recv(65536)\n"
        "        if not data:\n"
        "            sys.exit()\n"
        "        end.sendall(data) if ready == 0 else os.write(1, data)\n"
    )
    extra = f"  ProxyCommand {sys.executable} {program} 127.0.0.1 %p\n"
    connection = SshConnection(server.login(extra=extra), SECONDS)
    try:
        assert connection.run(["echo", "through"], seconds=SECONDS).output == "through\n"
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param("Host board\n  ProxyJump board\n", "leads from board back to itself", id="jumps-to-itself"),
        pytest.param("Host board\n  Port many\n", "the port 'many'", id="port"),
        pytest.param("Host board\n  ProxyJump a;b\n", "'a;b' is no host name", id="hostile-jump"),
        pytest.param("Host 'board\n", "cannot be read", id="syntax"),
    ],
)
def test_a_configuration_that_makes_no_sense(tmp_path: Path, config: str, message: str) -> None:
    (tmp_path / "config").write_text(config)
    with pytest.raises(DeviceError, match=message):
        SshConnection(Login(Address("board"), tmp_path / "accepted", config=tmp_path / "config"), SECONDS)
