"""The power that the board takes, by its own meters.

INA3221 and its relatives (Jetson; NVIDIA, Jetson developer guide; kernel, Documentation/hwmon/ina3221.rst) measure
rails: in the older layout under iio with mW, in the newer as a hardware monitor with mV and mA. The Raspberry Pi 5's
power management chip gives volts and amperes of its outputs to ``vcgencmd pmic_read_adc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .files import read_integer, read_text
from .source import Machine, Source

TOTALS = ("VDD_IN", "POM_5V_IN", "5V_IN")
"""Rails that feed all others."""
MOST_W = 1000.0
"""No rail of a board carries so much, in either direction."""

_UNUSED = re.compile(r"nc|.*\bsum\b.*", re.IGNORECASE)

COMMAND = ("vcgencmd", "pmic_read_adc")
_OUTPUT = re.compile(r"^\s*(\w+)_([AV])\s+\w+\([0-9]+\)=([0-9]{1,3}(?:\.[0-9]{1,9})?)\2\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Meter(Source[float]):
    """A source of the power in W, and the names of the rails that it is made of."""

    rails: tuple[str, ...]


@dataclass(frozen=True)
class Rail:
    """A rail's name, and its power in W."""

    name: str
    read: Callable[[], float | None]


def ina(machine: Machine) -> Meter | None:
    """The rail that feeds all others where there is one, otherwise the sum of all rails."""
    rails = [rail for rail in [*_iio_rails(machine), *_hwmon_rails(machine)] if rail.read() is not None]
    if not rails:
        return None
    names = tuple(rail.name for rail in rails)
    for rail in rails:
        if rail.name.upper().replace(" ", "_") in TOTALS:
            return Meter(f"INA: {rail.name}", rail.read, names)

    def read() -> float | None:
        watts = [power for rail in rails if (power := rail.read()) is not None]
        return sum(watts) if len(watts) == len(rails) else None

    return Meter(f"INA: sum of {', '.join(names)}", read, names)


def raspberry_pi(machine: Machine) -> Meter | None:
    """The sum over the outputs of the Raspberry Pi 5's power management chip."""
    names = tuple(_outputs(machine))
    if not names:
        return None

    def read() -> float | None:
        watts = _outputs(machine)
        return sum(watts.values()) if watts.keys() >= set(names) else None

    return Meter("vcgencmd pmic_read_adc: sum of the outputs", read, names)


FINDERS: tuple[Callable[[Machine], Meter | None], ...] = (ina, raspberry_pi)


def _iio_rails(machine: Machine) -> list[Rail]:
    # Some releases have a link iio_device beside the folder iio:device0: one of them a chip.
    folders = machine.find("sys/bus/i2c/drivers/ina*/*/iio[:_]device*")
    chips = {folder.rpartition("/")[0]: folder for folder in folders}
    rails: list[Rail] = []
    for chip, folder in chips.items():
        for channel in range(3):
            name = read_text(f"{folder}/rail_name_{channel}") or _channel(chip, channel)
            if not _UNUSED.fullmatch(name):
                rails.append(Rail(name, _scaled(f"{folder}/in_power{channel}_input")))
    return rails


def _hwmon_rails(machine: Machine) -> list[Rail]:
    rails: list[Rail] = []
    for folder in machine.find("sys/bus/i2c/drivers/ina*/*/hwmon/hwmon[0-9]*"):
        # Further numbers are the shunts' voltages and sums over channels, not rails.
        for channel in range(1, 4):
            name = read_text(f"{folder}/in{channel}_label") or _channel(folder.rsplit("/", 2)[0], channel)
            if not _UNUSED.fullmatch(name):
                rails.append(Rail(name, _product(f"{folder}/in{channel}_input", f"{folder}/curr{channel}_input")))
    return rails


def _channel(chip: str, channel: int) -> str:
    """A name for a rail that has none: the chip's bus and address, and the channel."""
    return f"{chip.rpartition('/')[2]} channel {channel}"


def _scaled(path: str) -> Callable[[], float | None]:
    """mW, as W."""

    def read() -> float | None:
        milliwatts = read_integer(path)
        return None if milliwatts is None else _plausible(milliwatts / 1e3)

    return read


def _product(volts: str, amperes: str) -> Callable[[], float | None]:
    """mV times mA, as W."""

    def read() -> float | None:
        millivolts, milliamperes = read_integer(volts), read_integer(amperes)
        if millivolts is None or milliamperes is None:
            return None
        return _plausible(millivolts * milliamperes / 1e6)

    return read


def _plausible(watts: float) -> float | None:
    return watts if abs(watts) < MOST_W else None


def _outputs(machine: Machine) -> dict[str, float]:
    """The outputs that have both a voltage and a current, with their power in W."""
    values: dict[str, dict[str, float]] = {}
    for name, unit, number in _OUTPUT.findall(machine.run(COMMAND) or ""):
        values.setdefault(name, {})[unit] = float(number)
    return {name: pair["A"] * pair["V"] for name, pair in values.items() if pair.keys() == {"A", "V"}}
