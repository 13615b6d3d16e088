"""A disk that fills up: for a while a board's home is a small copy of itself in memory."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SECONDS = 30

PAGE = 4096
"""Bytes; tmpfs gives files whole pages."""


@contextmanager
def limited_home(init: psutil.Process, home: Path, mounted: Path, free: int) -> Iterator[Path]:
    """Mounts a copy of ``home`` on ``mounted`` with room for ``free`` more bytes, until the end of the block.

    Only the mount namespace of ``init``, a board's first process, has it; yields this machine's way there.
    """
    used = sum(_pages(path.lstat().st_size) for path in home.rglob("*"))
    _among_mounts(init, "mount", "-t", "tmpfs", "-o", f"size={used + _pages(free)},mode=755", "tmpfs", str(mounted))
    try:
        limited = Path(f"/proc/{init.pid}/root/home/pi")
        shutil.copytree(home, limited, symlinks=True, dirs_exist_ok=True)
        yield limited
    finally:
        # a reboot has ended it already
        if init.is_running():
            # lazily: somebody may still have a file open
            _among_mounts(init, "umount", "--lazy", str(mounted))


def _among_mounts(init: psutil.Process, *command: str) -> None:
    """Runs a program of this machine among a board's mounts; CalledProcessError when it fails."""
    enter = ["nsenter", f"--target={init.pid}", "--user", "--preserve-credentials", "--mount"]
    subprocess.run([*enter, *command], check=True, capture_output=True, text=True, timeout=SECONDS)


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
