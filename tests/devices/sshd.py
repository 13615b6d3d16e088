"""OpenSSH's server as this machine installed it, with a configuration, a port and keys of a test's own."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .ended import kill_all
from .programs import find_program

SECONDS = 30
"""Limit on starting and on ending the server."""

PORTS = range(20000, 30000)
"""Below the ports that Linux gives to outgoing connections, so that a port stays free while its server is down."""

_PRIVILEGE_SEPARATION = Path("/run/sshd")
"""sshd, where root runs it, refuses to start without this empty folder; Debian's service makes it."""


@dataclass
class Sshd:
    """A server on 127.0.0.1 that runs ``command``, a shell command, for every login; its files are in ``folder``."""

    folder: Path
    command: str
    port: int = field(default_factory=lambda: free_port())
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _watcher: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def host_key(self) -> Path:
        """The public key by which clients know the server."""
        return self.folder / "host_key.pub"

    @property
    def client_key(self) -> Path:
        """The private key that may log in."""
        return self.folder / "client_key"

    def start(self) -> None:
        """Listens; UnavailableError where there is no OpenSSH, RuntimeError when it does not start."""
        program = find_program("sshd", "openssh-server")
        if os.geteuid() == 0:
            _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        for key in (self.folder / "host_key", self.client_key):
            if not key.exists():
                make_key(key)
        config, log, pid = (self.folder / name for name in ("sshd_config", "sshd.log", "sshd.pid"))
        config.write_text(self._config(pid), encoding="utf-8")
        pid.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [program, "-D", "-f", str(config), "-E", str(log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + SECONDS
        # it writes its number when it listens
        while not pid.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"sshd did not start: {log.read_text() if log.exists() else 'no log'}")
            time.sleep(0.02)
        # kills it should this process be killed, and is told of every other end
        self._watcher = subprocess.Popen(
            ["sh", "-c", 'read -r _ || kill -KILL "$1"', "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Kills the server and its sessions, and waits until they are gone."""
        if self._process is None:
            return
        if self._watcher is not None:
            self._watcher.communicate(b"\n", SECONDS)
            self._watcher = None
        with suppress(psutil.NoSuchProcess):
            # stopped it starts no session behind our back
            server = psutil.Process(self._process.pid)
            server.suspend()
            kill_all([*self._sessions(), server], SECONDS)
        self._process.wait(SECONDS)
        self._process = None

    def kill_sessions(self) -> None:
        """Cuts every connection; what the sessions started lives on, as it does on a real board."""
        kill_all(self._sessions(), SECONDS)

    def change_host_key(self) -> None:
        """A new host key, for connections from now on."""
        self.stop()
        for path in (self.folder / "host_key", self.host_key):
            path.unlink()
        self.start()

    def _sessions(self) -> list[psutil.Process]:
        """The server's processes for single connections: "sshd", and "sshd-session" from OpenSSH 9.8 on."""
        if self._process is None:
            return []
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.name().startswith("sshd"):
                    found.append(process)
        return found

    def _config(self, pid: Path) -> str:
        authorized = self.client_key.with_suffix(".pub")
        settings = {
            "ListenAddress": f"127.0.0.1:{self.port}",
            "HostKey": self.folder / "host_key",
            "AuthorizedKeysFile": authorized,
            "PidFile": pid,
            "ForceCommand": self.command,
            # with a forced command its name is all that matters: it becomes the command
            "Subsystem": "sftp /usr/lib/openssh/sftp-server",
            "StrictModes": "no",
            "UsePAM": "no",
            "UseDNS": "no",
            # passwords may be tried, and are always wrong: root's is not asked, and nobody else's can be read
            "PasswordAuthentication": "yes",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "AllowTcpForwarding": "yes",
            "AllowAgentForwarding": "no",
            "X11Forwarding": "no",
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "MaxSessions": "100",
            "MaxStartups": "100",
            "LogLevel": "VERBOSE",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())


def make_key(path: Path) -> None:
    """Writes an ed25519 key without passphrase to ``path``, its public half beside it."""
    program = find_program("ssh-keygen", "openssh-client")
    command = [program, "-q", "-t", "ed25519", "-N", "", "-C", "intbert-test", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port among 100 of {PORTS}")
