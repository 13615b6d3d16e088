"""A virtual board behind OpenSSH's own server: whoever logs in finds an aarch64 Linux.

The board and this machine share one network, so a port forward to 127.0.0.1 reaches the board's servers, and a
server that listens on all addresses would be found there too. ``/proc/device-tree`` is missing: nothing can be added
to ``/proc``; ``/sys/firmware/devicetree`` is there.
"""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from .board_kinds import KINDS
from .machine import HERE, BoardProcess, Machine
from .programs import find_program
from .sshd import Sshd
from .userland import Userland

SECONDS = 120.0
"""Limit on anything that a board does in one go; allows for emulation on a busy machine."""

ALIAS = "board"


@dataclass(frozen=True)
class SshBoard:
    """A running board; end it with :meth:`stop`."""

    machine: Machine
    sshd: Sshd

    @property
    def cpu(self) -> str:
        """QEMU's name of the board's CPU."""
        return self.machine.kind.cpu

    @property
    def address(self) -> str:
        """USER@HOST. The user is who runs the tests; on the board it is "pi"."""
        return f"{pwd.getpwuid(os.geteuid()).pw_name}@127.0.0.1"

    @property
    def port(self) -> int:
        return self.sshd.port

    @property
    def home(self) -> Path:
        """The board's ``/home/pi``, on this machine."""
        return self.machine.home

    @property
    def sys(self) -> Path:
        """The board's ``/sys``, on this machine; what changes here changes there."""
        return self.machine.sys

    @property
    def host_key(self) -> Path:
        """The board's public key."""
        return self.sshd.host_key

    @property
    def client_key(self) -> Path:
        """The private key that may log in."""
        return self.sshd.client_key

    @property
    def known_hosts(self) -> Path:
        """A client's known_hosts, with the key that the board had at its start."""
        return self.machine.folder / "known_hosts"

    def trust_host_key(self) -> None:
        """Puts the key that the board has now into ``known_hosts``."""
        self.known_hosts.write_text(self._known_as(self.port), encoding="utf-8")

    def ssh_config(self, path: Path, alias: str = ALIAS, cable: int | None = None) -> Path:
        """Writes a client's configuration, in which the board is called ``alias``, to ``path``.

        ``cable`` is the port of a cable to the board. It has known hosts of its own, in ``path`` + ".known_hosts".
        """
        known_hosts = self.known_hosts
        if cable is not None:
            known_hosts = path.with_name(f"{path.name}.known_hosts")
            known_hosts.write_text(self._known_as(cable), encoding="utf-8")
        settings = {
            "HostName": "127.0.0.1",
            "Port": cable or self.port,
            "User": self.address.partition("@")[0],
            "IdentityFile": self.client_key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": known_hosts,
        }
        lines = [f"Host {alias}", *(f"  {name} {value}" for name, value in settings.items())]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _known_as(self, port: int) -> str:
        kind, key, *_ = self.host_key.read_text(encoding="utf-8").split()
        return f"[127.0.0.1]:{port} {kind} {key}\n"

    def client(self, program: str, *options: str, cable: int | None = None) -> list[str]:
        """The beginning of a command of OpenSSH's (``ssh``, ``sftp``) that asks nothing and calls the board "board"."""
        config = self.ssh_config(self.machine.folder / f"ssh_config-{cable or self.port}", cable=cable)
        fixed = ["BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null", "ConnectTimeout=30"]
        words = [word for option in fixed for word in ("-o", option)]
        return [find_program(program, "openssh-client"), "-F", str(config), *words, *options]

    def run(self, command: str, timeout: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Runs a shell command on the board through the real ``ssh``, which exits with 255 when it cannot."""
        return subprocess.run(
            [*self.client("ssh"), ALIAS, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def processes(self) -> list[BoardProcess]:
        """What runs on the board, seen from this machine; nothing when it is off."""
        return self.machine.processes()

    def listening_ports(self) -> set[tuple[str, int]]:
        """The addresses and TCP ports on which the board's processes listen; sshd is none of them."""
        return self.machine.listening_ports()

    def limit_disk(self, free: int) -> AbstractContextManager[Path]:
        """A home with room for ``free`` more bytes until the end of the block: see :meth:`Machine.limit_disk`."""
        return self.machine.limit_disk(free)

    def kill_sessions(self) -> None:
        """Cuts every ssh connection; what they started lives on."""
        self.sshd.kill_sessions()

    def change_host_key(self) -> None:
        """Gives the board another host key and cuts every connection; ``known_hosts`` keeps the old one."""
        self.sshd.change_host_key()

    def power_off(self) -> None:
        """Kills all processes of the board and its sshd. Peers see closed connections; for silence, freeze a cable."""
        self.sshd.stop()
        self.machine.power_off()

    def power_on(self) -> None:
        """Starts the board again, on the same port and with the same keys; ``/tmp`` and ``/run`` are empty."""
        self.machine.power_on()
        self.sshd.start()

    def reboot(self, down_seconds: float = 0) -> None:
        """Switches the board off, and on after ``down_seconds``; returns when it listens again."""
        self.power_off()
        time.sleep(down_seconds)
        self.power_on()

    def stop(self) -> None:
        """Ends the board and every connection to it; what it wrote stays in its folder."""
        self.power_off()

    def left_behind(self) -> list[str]:
        """What of the board still runs on this machine; nothing after :meth:`stop`."""
        return self.machine.left_behind()


def start_ssh_board(userland: Userland, cpu: str, folder: Path) -> SshBoard:
    """Starts a board with this CPU, its files in ``folder``; UnavailableError where this machine cannot have one."""
    machine = Machine(KINDS[cpu], userland, folder)
    login = shlex.join([str(HERE / "board_login.sh"), str(folder), cpu])
    board = SshBoard(machine, Sshd(folder, login))
    try:
        board.power_on()
    except BaseException:
        board.stop()
        raise
    board.trust_host_key()
    return board
