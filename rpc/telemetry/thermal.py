"""The temperature of the processor.

Thermal zones (kernel, Documentation/driver-api/thermal/sysfs-api.rst) and hardware monitors
(Documentation/hwmon/sysfs-interface.rst) both give thousandths of a degree Celsius. Which zone is the processor's only
its name tells. Two of a Jetson are no temperatures of anything: the PMIC's is the constant 100 degrees until a
threshold is crossed, and ``thermal-fan-est`` is a weighted mean for the fan (NVIDIA, Jetson developer guide).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .files import read_integer, read_text
from .source import Machine, Source

LOWEST_C, HIGHEST_C = -40.0, 125.0
"""Outside lies no running processor: Tegra reports a sensor without power as -256 degrees, others as 0."""

_PROCESSOR = re.compile(r"cpu|soc|pkg|package|core|k[0-9]+temp|zenpower|imx|(^|[^a-z])tj", re.IGNORECASE)
_GPU = re.compile(r"gpu|(^|[^a-z])tj", re.IGNORECASE)
_NO_PLACE = re.compile(r"pmic|fan", re.IGNORECASE)


def processor_zones(machine: Machine) -> Source[float] | None:
    """The hottest thermal zone that is named after the CPU or the chip."""
    return _zones(machine, lambda name: _PROCESSOR.search(name) is not None)


def processor_monitors(machine: Machine) -> Source[float] | None:
    """The hottest sensor of the hardware monitors that are named after the CPU or the chip."""
    names = {folder: read_text(f"{folder}/name") or "" for folder in machine.hwmon(_PROCESSOR)}
    inputs = machine.find("sys/class/hwmon/hwmon*/temp[0-9]*_input")
    files = {path: names[folder] for path in inputs if (folder := path.rpartition("/")[0]) in names}
    return _hottest("hwmon", files)


def other_zones(machine: Machine) -> Source[float] | None:
    """The hottest of all zones: the case's, when nothing better is known."""
    return _zones(machine, lambda name: True)


def gpu_zones(machine: Machine) -> Source[float] | None:
    """The hottest thermal zone that is named after the GPU or the chip's hottest place (``gpu-thermal`` or
    ``GPU-therm``, ``tj-thermal``)."""
    return _zones(machine, lambda name: _GPU.search(name) is not None)


FINDERS: tuple[Callable[[Machine], Source[float] | None], ...] = (processor_zones, processor_monitors, other_zones)


def _zones(machine: Machine, wanted: Callable[[str], bool]) -> Source[float] | None:
    names = {
        f"{folder}/temp": read_text(f"{folder}/type") or ""
        for folder in machine.find("sys/class/thermal/thermal_zone[0-9]*")
    }
    wanted_names = {path: name for path, name in names.items() if wanted(name) and not _NO_PLACE.search(name)}
    return _hottest("thermal zones", wanted_names)


def _hottest(kind: str, files: dict[str, str]) -> Source[float] | None:
    if not files:
        return None
    words = ", ".join(dict.fromkeys(name for name in files.values() if name)) or "without a name"

    def read() -> float | None:
        return max((celsius for path in files if (celsius := _celsius(path)) is not None), default=None)

    return Source(f"{kind}: {words}", read)


def _celsius(path: str) -> float | None:
    thousandths = read_integer(path)
    if not thousandths or not LOWEST_C < thousandths / 1000 < HIGHEST_C:
        return None
    return thousandths / 1000
