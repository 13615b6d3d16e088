"""An aarch64 Linux userland with Python, run under QEMU's user-mode emulation: no root, no container.

It is built once and kept under ``build/virtual-board``, in a folder named after what went into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .debian import Source, host_architecture, installed_source, unpack_packages
from .system_files import furnish
from .unavailable import UnavailableError
from .wheels import runtime_requirements, unpack_wheels

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / "build" / "virtual-board"

LOCK_SECONDS = 600
"""How long one test run waits for another that is building the same userland."""

PACKAGES = (
    *("python3", "libstdc++6", "libgcc-s1"),
    # what somebody who logs in over ssh finds
    *(
        "base-files",
        "bash",
        "coreutils",
        "dash",
        "findutils",
        "grep",
        "libc-bin",
        "openssh-sftp-server",
        "sed",
        "util-linux",
    ),
)
UNNEEDED = frozenset(
    {
        *("debconf", "dpkg", "gcc-12-base", "mailcap", "media-types", "mime-support", "perl-base", "tar", "tzdata"),
        *("adduser", "libaudit-common", "libpam-modules", "libpam-modules-bin", "libsemanage2", "libsemanage-common"),
        *("libcbor0.8", "libfido2-1", "libsepol2", "openssh-client", "passwd", "readline-common", "util-linux-extra"),
    }
)
"""What the packages ask for only to be installed by dpkg, or what an interpreter does without."""

_SOURCES = ("debian.py", "system_files.py", "userland.py", "wheels.py")
_QEMU_NAMES = ("qemu-aarch64-static", "qemu-aarch64")


@dataclass(frozen=True)
class Userland:
    """A finished userland: ``root`` is its root folder, ``qemu`` the emulator that runs its programs."""

    folder: Path
    qemu: Path

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def launcher(self, cpu: str) -> Path:
        """A program that is the board's Python on a CPU of QEMU's (``cortex-a72``); made when asked for.

        ``-0`` makes ``sys.executable`` the launcher, so that child interpreters are emulated too.
        """
        python = python_version(self.root)
        environment = {
            "PYTHONHOME": self.root / "usr",
            "PYTHONPATH": f"{self.folder / 'site'}:{self.folder / 'source'}",
            "PYTHONPYCACHEPREFIX": self.folder / "bytecode",
            "PYTHONNOUSERSITE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "TVM_NUM_THREADS": "1",
        }
        command = [self.qemu, "-cpu", cpu, "-L", self.root, self.root / "usr" / "bin" / f"python{python}"]
        words = [f"{name}={shlex.quote(str(value))}" for name, value in environment.items()]
        words += [shlex.quote(str(word)) for word in command]
        words.insert(len(environment) + 1, '-0 "$0"')
        path = self.folder / f"python-{cpu}"
        aside = Path(tempfile.mkdtemp(dir=self.folder)) / path.name
        aside.write_text(f'#!/bin/sh\nexec env {" ".join(words)} "$@"\n', encoding="utf-8")
        aside.chmod(0o755)
        aside.rename(path)
        aside.parent.rmdir()
        return path


def python_version(root: Path) -> str:
    """The version of the userland's Python, for example "3.11"."""
    return (root / "usr" / "bin" / "python3").readlink().name.removeprefix("python")


def get_userland() -> Userland:
    """The userland, from the cache if it is there; UnavailableError when this machine cannot make one."""
    source, requirements = installed_source(), runtime_requirements()
    parts = [*vars(source).values(), *PACKAGES, *sorted(UNNEEDED), *requirements]
    parts += [(Path(__file__).parent / name).read_text() for name in _SOURCES]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / digest
    with _lock(CACHE / "lock"):
        if not folder.exists():
            _build(source, requirements, folder)
    return Userland(folder, _find_qemu(folder))


def _build(source: Source, requirements: tuple[str, ...], folder: Path) -> None:
    """Makes the userland aside and moves it to ``folder`` when it is whole."""
    aside = Path(tempfile.mkdtemp(prefix="unfinished-", dir=CACHE))
    try:
        work = aside / "work"
        unpack_packages(source, "arm64", PACKAGES, UNNEEDED, work / "arm64", aside / "root")
        unpack_wheels(requirements, python_version(aside / "root"), work, aside / "site")
        if _installed_qemu() is None:
            unpack_packages(
                source, host_architecture(), ["qemu-user-static"], frozenset(), work / "qemu", aside / "qemu"
            )
        furnish(aside / "root", _find_qemu(aside), python_version(aside / "root"))
        (aside / "source").mkdir()
        (aside / "source" / "intbert").symlink_to(REPOSITORY)
        shutil.rmtree(work)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _find_qemu(folder: Path) -> Path:
    for path in (_installed_qemu(), *(folder / "qemu" / "usr" / "bin" / name for name in _QEMU_NAMES)):
        if path is not None and path.exists():
            return path
    raise UnavailableError(f"QEMU was removed since {folder} was made; install qemu-user-static, or remove that folder")


def _installed_qemu() -> Path | None:
    return next((Path(found) for found in map(shutil.which, _QEMU_NAMES) if found), None)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Keeps other processes out; they wait at most ``LOCK_SECONDS``."""
    deadline = time.monotonic() + LOCK_SECONDS
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError(f"another process holds {path} for {LOCK_SECONDS} s") from None
                time.sleep(0.5)
        yield
