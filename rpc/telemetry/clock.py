"""The clock of the CPUs.

cpufreq (kernel, Documentation/admin-guide/pm/cpufreq.rst) has a folder per policy, a group of CPUs with one clock, and
gives kHz. ``cpuinfo_cur_freq`` is what the hardware says and is mostly root's; ``scaling_cur_freq`` is mostly what the
governor last asked for, so a cap in firmware does not show in it. x86 without cpufreq: "cpu MHz" of /proc/cpuinfo.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .files import read_integer, read_text
from .source import Machine, Source

HIGHEST_MHZ = 100_000.0
"""No processor has such a clock."""

_CPUINFO = re.compile(r"^(processor|cpu MHz)\s*:\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Limits:
    """What the kernel or the driver allows: the governors, by comma where they differ, the lowest and highest clock."""

    governor: str | None
    lowest_mhz: float | None
    highest_mhz: float | None


def plausible_mhz(clock: float) -> bool:
    """Whether a processor can have this clock."""
    return 0 < clock < HIGHEST_MHZ


def policies(machine: Machine) -> list[str]:
    """The folders of the policies of the machine's CPUs; of the CPUs themselves where policies have none."""
    folders = machine.find("sys/devices/system/cpu/cpufreq/policy[0-9]*")
    folders = folders or machine.find("sys/devices/system/cpu/cpu[0-9]*/cpufreq")
    return [folder for folder in folders if machine.covers(_cpus(folder))]


def limits(machine: Machine) -> Limits:
    """The governors and limits of the policies of the machine's CPUs."""
    folders = policies(machine)
    governors = [read_text(f"{folder}/scaling_governor") for folder in folders]
    lowest = _megahertz([f"{folder}/cpuinfo_min_freq" for folder in folders])
    highest = _megahertz([f"{folder}/cpuinfo_max_freq" for folder in folders])
    return Limits(
        governor=", ".join(dict.fromkeys(governor for governor in governors if governor)) or None,
        lowest_mhz=min(lowest, default=None),
        highest_mhz=max(highest, default=None),
    )


def cpufreq(machine: Machine) -> Source[float] | None:
    """The lowest clock of the policies, the hardware's own number where it can be read, in MHz."""
    names = ("cpuinfo_cur_freq", "scaling_cur_freq")
    files: list[str] = []
    for folder in policies(machine):
        readable = (path for name in names if _megahertz([path := f"{folder}/{name}"]))
        files.extend(path for path in [next(readable, None)] if path is not None)
    if not files:
        return None
    used = sorted({path.rpartition("/")[2] for path in files})
    return Source(f"cpufreq: {' and '.join(used)}", lambda: min(_megahertz(files), default=None))


def cpuinfo(machine: Machine) -> Source[float] | None:
    """The lowest "cpu MHz" of /proc/cpuinfo."""
    path = f"{machine.root}/proc/cpuinfo"

    def read() -> float | None:
        clocks: list[float] = []
        cpu = 0
        for key, number in _CPUINFO.findall(read_text(path) or ""):
            if key == "processor":
                cpu = int(float(number))
            elif plausible_mhz(float(number)) and machine.covers([cpu]):
                clocks.append(float(number))
        return min(clocks, default=None)

    return Source("/proc/cpuinfo: cpu MHz", read)


FINDERS: tuple[Callable[[Machine], Source[float] | None], ...] = (cpufreq, cpuinfo)


def _cpus(folder: str) -> list[int]:
    """The CPUs of a policy: ``related_cpus`` lists them, online or not; its name has the first."""
    listed = [int(word) for word in (read_text(f"{folder}/related_cpus") or "").split() if word.isdecimal()]
    return listed or [int(number) for number in re.findall(r"/(?:policy|cpu)([0-9]+)", folder)[-1:]]


def _megahertz(paths: list[str]) -> list[float]:
    """The clocks that the files have, in kHz, as MHz."""
    clocks = (kilohertz / 1000 for path in paths if (kilohertz := read_integer(path)) is not None)
    return [clock for clock in clocks if plausible_mhz(clock)]
