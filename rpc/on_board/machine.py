"""What a machine calls itself. Runs on the board."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from ...targets.host import arm_core_name

MODEL = Path("/proc/device-tree/model")
CPUINFO = Path("/proc/cpuinfo")
_CORE_FIELDS = ("implementer", "part")


def describe(model: Path = MODEL, cpuinfo: Path = CPUINFO) -> str:
    """The device tree's name of the machine ("Raspberry Pi 5 Model B Rev 1.0"), else its processor's, else its kind."""
    return _text(model).strip("\0 \n") or _processor(_text(cpuinfo)) or platform.machine()


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name; of an Arm one, its kinds of cores ("cortex-a53 + cortex-a72"); else the machine's kind."""
    text = _text(cpuinfo)
    implementers, parts = (re.findall(rf"^CPU {field}\s*:\s*(0x[0-9a-f]+)", text, re.M) for field in _CORE_FIELDS)
    kinds = dict.fromkeys(zip(implementers, parts, strict=False))
    cores = [arm_core_name(int(kind[0], 16), int(kind[1], 16)) or f"core {' '.join(kind)}" for kind in kinds]
    return " + ".join(cores) or _processor(text) or platform.machine()


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
