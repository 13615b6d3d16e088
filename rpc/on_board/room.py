"""What a board has room for: on its disk and in its memory."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Room:
    """Bytes: ``disk`` free in the file system, ``memory`` that programs can get without swapping (None: not known)."""

    disk: int
    memory: int | None


def room(folder: Path, meminfo: Path = MEMINFO) -> Room:
    """The room of this machine, on the disk of ``folder``."""
    return Room(shutil.disk_usage(folder).free, available_memory(meminfo))


def available_memory(meminfo: Path = MEMINFO) -> int | None:
    """``MemAvailable`` of the kernel's table (Linux: Documentation/filesystems/proc.rst), None where it has none."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    words = next((line.split() for line in lines if line.startswith("MemAvailable:")), [])
    return int(words[1]) * 1024 if len(words) == 3 and words[1].isdigit() and words[2] == "kB" else None
