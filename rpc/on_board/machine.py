"""What a machine calls itself. Runs on the board."""

from __future__ import annotations

import os
import platform
from pathlib import Path

MODEL = Path("/proc/device-tree/model")
CPUINFO = Path("/proc/cpuinfo")


def describe(model: Path = MODEL, cpuinfo: Path = CPUINFO) -> str:
    """The device tree's name of the machine ("Raspberry Pi 5 Model B Rev 1.0"), else its processor's, else its kind."""
    return _text(model).strip("\0 \n") or _processor(_text(cpuinfo)) or platform.machine()


def usable_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def _processor(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
