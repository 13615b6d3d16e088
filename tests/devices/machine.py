"""An emulated board that can be switched on and off: namespaces of its own around the shared userland."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .board_kinds import BoardKind
from .disk_limit import limited_home
from .ended import wait_all
from .programs import find_program
from .unavailable import UnavailableError
from .userland import Userland

SECONDS = 30
"""Limit on switching a board on or off."""

HERE = Path(__file__).parent
TOOLS = {"unshare": "util-linux", "nsenter": "util-linux", "mount": "mount", "umount": "mount", "chroot": "coreutils"}
"""Programs that make a board's namespaces, and Debian's packages of them."""


@dataclass(frozen=True)
class BoardProcess:
    """A process of a board: ``pid`` is this machine's number of it, ``argv`` what the board started."""

    pid: int
    argv: tuple[str, ...]


@dataclass
class Machine:
    """A board without its network, which is this machine's own; ``folder`` holds all that it writes."""

    kind: BoardKind
    userland: Userland
    folder: Path
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def home(self) -> Path:
        """The board's ``/home/pi``."""
        return self.folder / "home"

    @property
    def sys(self) -> Path:
        """The board's ``/sys``."""
        return self.folder / "sys"

    def power_on(self) -> None:
        """Starts the board's init, with empty ``/tmp`` and ``/run``; UnavailableError where no kernel would."""
        for tool, package in TOOLS.items():
            find_program(tool, package)
        self._prepare()
        log = self.folder / "init.log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        assert process.stdout is not None
        # ends too when the process does
        if process.stdout.readline() != "ready\n":
            _close(process)
            raise UnavailableError(f"its namespaces cannot be made: {' '.join(log.read_text().split())}")
        self._process = process
        (self.folder / "init.pid").write_text(f"{self.init.pid}\n")

    def power_off(self) -> None:
        """Kills every process of the board at once, and waits until they are gone."""
        if self._process is None:
            return
        with suppress(psutil.NoSuchProcess):
            init = self.init
            entrances = [process for process in psutil.process_iter() if _enters(process, init.pid)]
            # it is reaped after the last process of its namespace
            init.kill()
            wait_all(entrances, SECONDS)
        _close(self._process)
        self._process = None

    @property
    def init(self) -> psutil.Process:
        """The first process of the board; NoSuchProcess when it is off."""
        children = psutil.Process(self._process.pid).children() if self._process else []
        if not children:
            raise psutil.NoSuchProcess(0, msg=f"the board in {self.folder} is off")
        return children[0]

    def processes(self) -> list[BoardProcess]:
        """What runs on the board, its init and zombies left out; nothing when it is off."""
        try:
            init = self.init
            namespace = _pid_namespace(init.pid)
        except (psutil.NoSuchProcess, OSError):
            return []
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != init.pid and _pid_namespace(process.pid) == namespace:
                    argv = process.cmdline()
                    if argv:
                        found.append(BoardProcess(process.pid, _emulated(argv)))
        return found

    def left_behind(self) -> list[str]:
        """The command lines of this machine's processes that work in the board's folder or mention it."""
        name = str(self.folder)
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                argv = process.cmdline()
                places = [process.cwd(), os.readlink(f"/proc/{process.pid}/root"), *argv]  # noqa: PTH115
                if process.pid != os.getpid() and any(name in place for place in places):
                    found.append(" ".join(argv))
        return found

    def listening_ports(self) -> set[tuple[str, int]]:
        """The addresses and TCP ports on which processes of the board listen."""
        found = set()
        for process in self.processes():
            with suppress(psutil.Error):
                for connection in psutil.Process(process.pid).net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((connection.laddr.ip, connection.laddr.port))
        return found

    def limit_disk(self, free: int) -> AbstractContextManager[Path]:
        """A home with room for ``free`` more bytes, until the end of the block; yields this machine's path to it.

        It is a copy of the home in memory, and what the block writes goes with it. Processes whose working folder is
        in the home stay in the old one.
        """
        return limited_home(self.init, self.home, self.folder / "root" / "home" / "pi", free)

    def _command(self) -> list[str]:
        command = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
        command += [str(HERE / "board_mounts.sh"), str(self.folder), str(self.userland.root), str(self.userland.qemu)]
        return [*command, sys.executable, "-I", "-S", str(HERE / "board_init.py")]

    def _prepare(self) -> None:
        for name in ("tmp", "run"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("root", "home", "sys", "tmp", "run", "run/user"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "run" / "user" / "0").mkdir(mode=0o700)
        (self.folder / "tmp").chmod(0o1777)
        (self.folder / "cpuinfo").write_text(self.kind.cpuinfo(), encoding="utf-8")
        self.kind.write_sys(self.sys)


def _pid_namespace(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116 - no path of a file


def _enters(process: psutil.Process, init: int) -> bool:
    """Whether this is the part of a login that waits outside."""
    try:
        argv = process.cmdline()
    except psutil.Error:
        return False
    return argv[1:3] == ["--target", str(init)]


def _emulated(argv: list[str]) -> tuple[str, ...]:
    """Without the emulator and the path that the kernel put before a program's own arguments."""
    return tuple(argv[2:] if "qemu-aarch64" in argv[0] else argv)


def _close(process: subprocess.Popen[str]) -> None:
    """Reaps a board's outermost process; what is left of the board ends with it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(SECONDS)
    if process.stdout is not None:
        process.stdout.close()
