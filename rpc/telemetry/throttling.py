"""Why the board is slower than it could be, and how often it has been.

Several sources can hold at once and add up. Of the Raspberry Pi's firmware the first that is there is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from . import devfreq, raspberry_pi
from .conditions import Throttling
from .files import read_integer, read_text
from .source import Machine, Source, first

THERMAL_CAP = "thermal cap"
# Cooling devices that slow a processor down. cpufreq's and devfreq's, new name and old; Jetson's hardware throttling,
# Orin's and Nano's; ACPI's. A fan and a display that dims are cooling devices too.
_SLOWING_A_GPU = re.compile(
    rf"devfreq-(?:{devfreq.GPU.pattern})|thermal-devfreq-[0-9]+|gpu-throttle-alert|gpu-(?:balanced|heavy)"
)
_SLOWING = re.compile(
    rf"{_SLOWING_A_GPU.pattern}|cpufreq-.+|thermal-cpufreq-[0-9]+|[a-z0-9]+-throttle-alert"
    r"|(?:cpu|emergency|tegra)-(?:balanced|heavy)|Processor"
)


def firmware(machine: Machine) -> Source[Throttling] | None:
    """What the Raspberry Pi's firmware reports: voltage, caps of the clock, temperature limits."""
    return first(raspberry_pi.FINDERS, machine)


def over_current_events(machine: Machine) -> Source[Throttling] | None:
    """Jetson Orin: how often the supply's alarms (under-voltage, average and peak current) throttled the chip.

    The driver (NVIDIA, tegra23x-oc-event) counts also the alarms that throttle nothing, which are left out here.
    """
    files = [
        path
        for path in machine.find("sys/class/hwmon/hwmon*/oc[0-9]*_event_cnt")
        if read_integer(path.replace("_event_cnt", "_throt_en")) != 0
    ]
    return _counter("over-current events of soctherm", files)


def cooling_devices(machine: Machine) -> Source[Throttling] | None:
    """Whether the kernel holds the processor back to cool it (state 0: not at all)."""
    kinds = _cooling_devices(machine)
    files = [path for path in kinds if read_integer(path) is not None]
    if not files:
        return None

    def read() -> Throttling | None:
        states = [read_integer(path) for path in files]
        if any(state is not None and state > 0 for state in states):
            return Throttling((THERMAL_CAP,), None)
        return None if None in states else Throttling((), None)

    return Source(f"cooling devices: {', '.join(dict.fromkeys(kinds[path] for path in files))}", read)


def cooling_devices_beside_a_gpu(machine: Machine) -> Source[Throttling] | None:
    """The same where one of them is the GPU's; without it the others would seem to speak for the GPU."""
    kinds = _cooling_devices(machine).values()
    return cooling_devices(machine) if any(_SLOWING_A_GPU.fullmatch(kind) for kind in kinds) else None


def thermal_interrupts(machine: Machine) -> Source[Throttling] | None:
    """x86: how often a core or a package grew too hot, since the CPU came online; once for CPUs that share it."""
    files: dict[tuple[str, str], str] = {}
    for folder in machine.find("sys/devices/system/cpu/cpu[0-9]*"):
        number = int(re.findall("[0-9]+", folder)[-1])
        for unit in ("core", "package"):
            path = f"{folder}/thermal_throttle/{unit}_throttle_count"
            shared = read_text(f"{folder}/topology/{unit}_cpus_list") or folder
            if machine.covers([number]) and read_integer(path) is not None:
                files.setdefault((unit, shared), path)
    return _counter("thermal_throttle counters", list(files.values()))


Finders = tuple[Callable[[Machine], "Source[Throttling] | None"], ...]
FINDERS: Finders = (
    firmware,
    over_current_events,
    cooling_devices,
    thermal_interrupts,
)


def throttling(machine: Machine, finders: Finders = FINDERS) -> Source[Throttling] | None:
    """All sources of the registry that the machine has, as one."""
    sources = [source for find in finders if (source := first([find], machine)) is not None]
    if not sources:
        return None
    return Source(
        "; ".join(source.words for source in sources), lambda: together([source.read() for source in sources])
    )


def together(readings: Sequence[Throttling | None]) -> Throttling:
    """What several sources say, None for one that failed: then "no reason" and the sum of the events are unknown."""
    known = [reading for reading in readings if reading is not None]
    told = [reading.reasons for reading in known if reading.reasons is not None]
    counts = [reading.events for reading in known if reading.events is not None]
    complete = len(known) == len(readings)
    reasons = tuple(dict.fromkeys(reason for reasons in told for reason in reasons))
    return Throttling(
        reasons=reasons if reasons or (told and complete) else None,
        events=sum(counts) if counts and complete else None,
    )


def _cooling_devices(machine: Machine) -> dict[str, str]:
    """The state's file of each cooling device that slows a processor down -> its kind."""
    return {
        f"{folder}/cur_state": kind
        for folder in machine.find("sys/class/thermal/cooling_device[0-9]*")
        if (kind := read_text(f"{folder}/type")) is not None and _SLOWING.fullmatch(kind)
    }


def _counter(words: str, files: list[str]) -> Source[Throttling] | None:
    """The sum of counters. With one of them missing it would seem to fall and rise, so there is none then."""
    readable = [path for path in files if read_integer(path) is not None]
    if not readable:
        return None

    def read() -> Throttling | None:
        counts = [count for path in readable if (count := read_integer(path)) is not None and count >= 0]
        return Throttling(None, sum(counts)) if len(counts) == len(readable) else None

    return Source(words, read)
