"""An authenticated ssh connection, through whatever hops the configuration asks for."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import paramiko

from ...errors import AuthenticationError, RemoteError
from .host_keys import AcceptOnly, changed, load_known
from .login import Hop, Login, route


class CountingSocket:
    """A socket, or what paramiko takes for one, that counts the bytes which it sends."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.sent = 0

    def send(self, data: bytes) -> int:
        """As ``socket.send``."""
        count = self._inner.send(data)
        self.sent += count
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class SshClient:
    """A connection to the board of ``login``; ``seconds`` bound each step of making it.

    Raises:
        HostKeyError, AuthenticationError: nothing was sent to the board then but ssh's own greeting.
        RemoteError: it cannot be reached, or does not answer in time.
    """

    def __init__(self, login: Login, seconds: float) -> None:
        self._clients: list[paramiko.SSHClient] = []
        self._outermost: CountingSocket | None = None
        try:
            for hop in route(login):
                self._clients.append(self._connect(hop, login, seconds))
        except BaseException:
            self.close()
            raise
        transport = self._clients[-1].get_transport()
        assert transport is not None
        self.transport = transport

    @property
    def sent_bytes(self) -> int:
        """What left this machine for the board, or for the first hop on the way."""
        return self._outermost.sent if self._outermost is not None else 0

    def close(self) -> None:
        """Ends the connection, the board's first."""
        for client in reversed(self._clients):
            client.close()

    def _connect(self, hop: Hop, login: Login, seconds: float) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        with _translated(hop):
            load_known(client, (*hop.known_hosts, login.accepted_keys))
            client.set_missing_host_key_policy(AcceptOnly(login.accept, login.accepted_keys))
            wire = self._socket(hop, seconds)
            try:
                client.connect(
                    hop.host,
                    hop.port,
                    username=hop.user or getpass.getuser(),
                    password=login.password,
                    key_filename=cast(Any, [str(key) for key in hop.keys if key.exists()]),  # several are documented
                    allow_agent=not hop.keys_only and "SSH_AUTH_SOCK" in os.environ,
                    look_for_keys=not hop.keys_only,
                    sock=wire,
                    timeout=seconds,
                    banner_timeout=seconds,
                    auth_timeout=seconds,
                    channel_timeout=seconds,
                )
            except BaseException:
                client.close()
                wire.close()
                raise
        return client

    def _socket(self, hop: Hop, seconds: float) -> Any:
        """What leads to ``hop``: a TCP connection, a command's pipes, or a channel of the hop before."""
        if self._clients:
            transport = self._clients[-1].get_transport()
            assert transport is not None
            return transport.open_channel("direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=seconds)
        if hop.proxy_command is not None:
            wire: Any = paramiko.ProxyCommand(hop.proxy_command)
        else:
            wire = socket.create_connection((hop.host, hop.port), timeout=seconds)
        self._outermost = CountingSocket(wire)
        return self._outermost


@contextmanager
def _translated(hop: Hop) -> Iterator[None]:
    """Turns what paramiko and the system raise into our own errors."""
    where = f"{hop.host} port {hop.port}"
    try:
        yield
    except paramiko.BadHostKeyException as error:
        raise changed(where, error.key, error.expected_key) from error
    except paramiko.PasswordRequiredException as error:
        raise AuthenticationError(f"{where}: the key needs its passphrase; load it with `ssh-add`") from error
    except paramiko.AuthenticationException as error:
        user = hop.user or getpass.getuser()
        raise AuthenticationError(
            f"{where} refuses {user}: no key or password was accepted; try `ssh -p {hop.port} {user}@{hop.host}`, "
            f"and `ssh-copy-id` puts your key on the board"
        ) from error
    except socket.gaierror as error:
        raise RemoteError(
            f"{where}: no such host ({error.strerror}); check the name, or give its IP address"
        ) from error
    except TimeoutError as error:
        raise RemoteError(f"{where}: no answer in time; is the board on, and in this network?") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        words = str(error) or type(error).__name__
        raise RemoteError(f"{where}: cannot connect ({words}); is the board on, and its ssh server running?") from error
