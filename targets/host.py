"""The target ``host``: this machine, probed."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from ..errors import TargetError
from .features import IMPLIED, X86_64, host_arch, host_features
from .target import Target

HOST = "host"

# MIDR_EL1's (implementer, part) of cores whose LLVM name brings no instruction that the canonical features
# leave out, and the features it does bring (Arm's and LLVM's lists of parts).
_ARM_CORES: dict[tuple[int, int], tuple[str, frozenset[str]]] = {
    (0x41, 0xD03): ("cortex-a53", frozenset({"neon"})),
    (0x41, 0xD07): ("cortex-a57", frozenset({"neon"})),
    (0x41, 0xD08): ("cortex-a72", frozenset({"neon"})),
    (0x41, 0xD0B): ("cortex-a76", frozenset({"neon", "dotprod"})),
    (0x41, 0xD0C): ("neoverse-n1", frozenset({"neon", "dotprod"})),
    (0x41, 0xD42): ("cortex-a78ae", frozenset({"neon", "dotprod"})),
    (0x41, 0xD40): ("neoverse-v1", frozenset({"neon", "dotprod", "i8mm", "sve"})),
}

# Further cores that are known by name only: there is no preset for them, or the LLVM name brings instructions that
# no canonical feature stands for. 0x4e is NVIDIA.
_OTHER_ARM_CORES: dict[tuple[int, int], str] = {
    (0x41, 0xD04): "cortex-a35",
    (0x41, 0xD05): "cortex-a55",
    (0x41, 0xD09): "cortex-a73",
    (0x41, 0xD0A): "cortex-a75",
    (0x41, 0xD41): "cortex-a78",
    (0x41, 0xD44): "cortex-x1",
    (0x41, 0xD49): "neoverse-n2",
    (0x41, 0xD4F): "neoverse-v2",
    (0x41, 0xD80): "cortex-a520",
    (0x41, 0xD81): "cortex-a720",
    (0x41, 0xD83): "neoverse-v3ae",
    (0x4E, 0x004): "carmel",
}


def probe_host() -> Target:
    """Return this machine as a target. TargetError when its architecture or system is not supported.

    On x86 the CPU is a generic level and the features are the probed ones: LLVM's own name for the host
    is a guess from the family and model numbers, which hypervisors make up.
    """
    arch = host_arch()
    if arch not in IMPLIED or platform.system() != "Linux":
        raise TargetError(
            f"this machine ({platform.system()} on {arch}) cannot be a target; "
            "name a Linux board instead, for example --target rpi4"
        )
    features = host_features()
    cpuinfo = _read_cpuinfo()
    cpu = x86_level(features) if arch == X86_64 else arm_cpu(cpuinfo, features)
    return Target(
        name=HOST,
        description=f"this machine ({_model_name(cpuinfo, arch) or cpu})",
        arch=arch,
        triple=f"{arch}-linux-gnu",
        cpu=cpu,
        features=features,
        cores=len(os.sched_getaffinity(0)),
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    )


def x86_level(features: frozenset[str]) -> str:
    """Return the highest x86-64 level (System V psABI) that ``features`` cover, as LLVM names it."""
    if "avx512" in features:
        return "x86-64-v4"
    return "x86-64-v3" if "avx2" in features else "x86-64"


def arm_cpu(cpuinfo: str, features: frozenset[str]) -> str:
    """Return LLVM's name of the first core listed, or ``generic`` when it is unknown or features are masked.

    With several kinds of cores (big.LITTLE) the first in ``cpuinfo`` decides, which is a LITTLE one.
    """
    implementer = re.search(r"^CPU implementer\s*:\s*(0x[0-9a-f]+)", cpuinfo, re.MULTILINE)
    part = re.search(r"^CPU part\s*:\s*(0x[0-9a-f]+)", cpuinfo, re.MULTILINE)
    if implementer is None or part is None:
        return "generic"
    core = _ARM_CORES.get((int(implementer[1], 16), int(part[1], 16)))
    return core[0] if core is not None and core[1] <= features else "generic"


def arm_core_name(implementer: int, part: int) -> str | None:
    """Return LLVM's name of the core with these fields of MIDR_EL1, None when it is not known here."""
    core = _ARM_CORES.get((implementer, part))
    return core[0] if core is not None else _OTHER_ARM_CORES.get((implementer, part))


def _model_name(cpuinfo: str, arch: str) -> str | None:
    key = "model name" if arch == X86_64 else "Model"  # On Arm: the board's, where the kernel knows it.
    found = re.search(rf"^{key}\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else None


def _read_cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
