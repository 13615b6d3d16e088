"""What the firmware of a Raspberry Pi tells about throttling.

It keeps a word of flags: bits 0 to 3 say what holds now, bits 16 to 19 what has held since they were last cleared
(Raspberry Pi documentation, vcgencmd get_throttled). The kernel's raspberrypi-hwmon driver asks for the word, and
clears the upper bits, every two seconds; since Linux 4.19 the file ``get_throttled`` of the firmware's device shows
that last answer. Without the driver the file stays as it was when the board booted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .conditions import Throttling
from .files import parse_integer, read_integer
from .source import Machine, Source

UNDER_VOLTAGE = "under-voltage"
REASONS = (UNDER_VOLTAGE, "frequency capped", "throttled", "soft temperature limit")
"""By bit."""
_MASK = 0xF
_STICKY = 16

COMMAND = ("vcgencmd", "get_throttled")
_ANSWER = re.compile(r"throttled=(0x[0-9a-fA-F]{1,8})")
_VOLTAGE_MONITOR = re.compile("rpi_volt")


def decode(word: int | None, recent: bool) -> Throttling | None:
    """What the word says, None where it is none; the events are the kinds of them that the upper bits remember.

    ``recent``: what these remember is so recent that it counts as holding now.
    """
    if word is None or not 0 <= word < 1 << 32:
        return None
    sticky = word >> _STICKY & _MASK
    held = (word | sticky if recent else word) & _MASK
    return Throttling(
        reasons=tuple(reason for bit, reason in enumerate(REASONS) if held >> bit & 1), events=sticky.bit_count()
    )


def polled_file(machine: Machine) -> Source[Throttling] | None:
    """The file that the kernel refreshes every two seconds, together with what has held in between."""
    path = _file(machine)
    if path is None or not machine.hwmon(_VOLTAGE_MONITOR):
        return None
    return Source("firmware: get_throttled, every two seconds", lambda: decode(read_integer(path, 16), recent=True))


def command(machine: Machine) -> Source[Throttling] | None:
    """The program ``vcgencmd``, where the board has it."""

    def read() -> Throttling | None:
        found = _ANSWER.search(machine.run(COMMAND) or "")
        return decode(parse_integer(found[1], 16), recent=False) if found else None

    return Source("firmware: vcgencmd get_throttled", read)


def file(machine: Machine) -> Source[Throttling] | None:
    """The file of a kernel that asks the firmware at each reading."""
    path = _file(machine)
    if path is None:
        return None
    return Source("firmware: get_throttled", lambda: decode(read_integer(path, 16), recent=False))


def voltage_alarm(machine: Machine) -> Source[Throttling] | None:
    """A kernel without that file: the hardware monitor's alarm, which knows the voltage only."""
    paths = [f"{folder}/in0_lcrit_alarm" for folder in machine.hwmon(_VOLTAGE_MONITOR)]
    if not paths:
        return None

    def read() -> Throttling | None:
        alarm = read_integer(paths[0])
        return None if alarm is None else Throttling((UNDER_VOLTAGE,) if alarm else (), None)

    return Source("hwmon: under-voltage alarm", read)


FINDERS: tuple[Callable[[Machine], Source[Throttling] | None], ...] = (polled_file, command, file, voltage_alarm)


def _file(machine: Machine) -> str | None:
    """soc:firmware, or soc@107c000000:firmware and the like, as the device tree names it."""
    return next(iter(machine.find("sys/devices/platform/soc*/*firmware*/get_throttled")), None)
