"""A board's processors, from its report: kinds of cores, instruction-set features, clocks."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator

from ...targets.features import AARCH64, X86_64, aarch64_features, x86_features
from ...targets.host import arm_core_name
from .facts import ClockPolicy, CoreKind
from .report import Report

_AT_HWCAP, _AT_HWCAP2 = 16, 26

# /proc/cpuinfo's names of bits of AT_HWCAP and AT_HWCAP2 (Linux's arch/arm64/kernel/cpuinfo.c).
_HWCAP_NAMES = {"asimd": 1 << 1, "asimddp": 1 << 20, "sve": 1 << 22}
_HWCAP2_NAMES = {"sve2": 1 << 1, "i8mm": 1 << 13}

_CORE_FIELD = re.compile(r"CPU (implementer|part)\s*:\s*0x([0-9a-fA-F]{1,3})\s*")

_AMX_KERNEL = (5, 16)
"""The first Linux that grants the tile state to programs that ask; it shows the flags only where it can."""


def core_kinds(report: Report) -> tuple[CoreKind, ...]:
    """The kinds of Arm cores in cpuinfo, in its order; empty on another architecture, or under emulation."""
    counted: Counter[tuple[int, int]] = Counter()
    implementer = None
    for match in filter(None, map(_CORE_FIELD.fullmatch, report.lines("cpuinfo"))):
        value = int(match[2], 16)
        if match[1] == "implementer":
            implementer = value & 0xFF  # what is longer is none
        elif implementer is not None:
            counted[implementer, value] += 1
    return tuple(CoreKind(*kind, count, arm_core_name(*kind)) for kind, count in counted.items())


def features(report: Report, arch: str, bits: int) -> frozenset[str]:
    """The canonical features; empty for another architecture, and on Arm for 32-bit programs."""
    if arch == X86_64:
        granted = _kernel_version(report) >= _AMX_KERNEL
        return x86_features(_cpuinfo(report), amx_granted=granted)
    if arch == AARCH64 and bits == 64:
        words = dict(_auxiliary_vector(report))
        if _AT_HWCAP in words:
            return aarch64_features(words[_AT_HWCAP], words.get(_AT_HWCAP2, 0))
        return _features_of_cpuinfo(_cpuinfo(report))
    return frozenset()


def usable_cores(report: Report) -> int:
    """How many cores a program of this account may use: by nproc, by the affinity mask, or all that are listed."""
    by_nproc = report.integer("nproc")
    if by_nproc:
        return by_nproc
    allowed = report.fields("process_status", ":").get("Cpus_allowed_list", "")
    counted = sum(
        1 + int(last or first) - int(first) for first, last in re.findall(r"(\d{1,6})(?:-(\d{1,6}))?", allowed)
    )
    if counted > 0:
        return counted
    return len(re.findall(r"^processor\s*:", _cpuinfo(report), re.MULTILINE))


def clock_policies(report: Report) -> tuple[ClockPolicy, ...]:
    """One for each group of cores that share a clock; the kernel counts in kHz."""
    found = (re.fullmatch(r"(\S+) (\d{1,9}) (\d{1,9})", line) for line in report.shown("policy"))
    return tuple(ClockPolicy(match[1], int(match[2]) // 1000, int(match[3]) // 1000) for match in found if match)


def _cpuinfo(report: Report) -> str:
    return "\n".join(report.lines("cpuinfo"))


def _kernel_version(report: Report) -> tuple[int, int]:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", report.text("kernel"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _auxiliary_vector(report: Report) -> Iterator[tuple[int, int]]:
    """Types and values of the vector of a 64-bit little-endian program, from od's bytes."""
    try:
        data = bytes.fromhex(" ".join(report.lines("auxv")))
    except ValueError:
        return
    yield from struct.iter_unpack("<QQ", data[: len(data) // 16 * 16])


def _features_of_cpuinfo(cpuinfo: str) -> frozenset[str]:
    """For a board without od: the features that every core lists."""
    cores = [set(names.split()) for names in re.findall(r"^Features\s*:(.*)$", cpuinfo, re.MULTILINE)]
    names = set.intersection(*cores) if cores else set()
    words = (sum(bits[name] for name in names & bits.keys()) for bits in (_HWCAP_NAMES, _HWCAP2_NAMES))
    return aarch64_features(*words)
