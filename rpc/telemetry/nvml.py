"""An NVIDIA card as its driver's management library knows it (NVIDIA, "NVML API Reference").

The library comes with the driver and may be asked without root. It numbers cards by their places on the bus, CUDA by
their speed: the one that CUDA calls the first is found by its PCI bus id. On a Jetson it is absent, or most functions
are not supported: then other sources tell.
"""

from __future__ import annotations

import ctypes
from typing import Any

from .clock import Limits, plausible_mhz
from .conditions import Throttling
from .power import MOST_W, Meter
from .source import Ask, Machine, Source
from .thermal import HIGHEST_C, LOWEST_C

DRIVER, LIBRARY = "libcuda.so.1", "libnvidia-ml.so.1"
_ID_BYTES = 32  # NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE

CLOCK, MOST_CLOCK = "nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo"
TEMPERATURE, POWER = "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage"
REASONS = "nvmlDeviceGetCurrentClocksThrottleReasons"
MULTIPROCESSORS, MEMORY = 1, 2  # NVML_CLOCK_SM, NVML_CLOCK_MEM
ON_CHIP = 0  # NVML_TEMPERATURE_GPU

# nvmlClocksEventReason*. The other bits say that the card idles, or what its owner has set.
WORDS: dict[int, str] = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal cap",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}


def ask_nothing(function: str, *arguments: int) -> int | None:
    """No card."""


def first_card() -> Ask:
    """What asks the card that CUDA calls the first; :func:`ask_nothing` where there is none, or no library."""
    try:
        driver, library = ctypes.CDLL(DRIVER), ctypes.CDLL(LIBRARY)
        device = _device(driver, library)
    except (OSError, AttributeError):
        return ask_nothing
    if device is None:
        return ask_nothing

    def ask(function: str, *arguments: int) -> int | None:
        # Results are 32 or 64 bits; what a narrow one leaves is zero, and both kinds of machines are little-endian.
        result = ctypes.c_ulonglong()
        try:
            status = library[function](device, *arguments, ctypes.byref(result))
        except AttributeError:
            return None
        return None if status else result.value

    return ask


def clock(machine: Machine) -> Source[float] | None:
    """The clock of the multiprocessors in MHz."""
    return _clock(machine, MULTIPROCESSORS)


def memory_clock(machine: Machine) -> Source[float] | None:
    """The clock of the memory in MHz."""
    return _clock(machine, MEMORY)


def limits(machine: Machine) -> Limits:
    """The highest clock; a card has no governor that could be chosen."""
    highest = machine.ask(MOST_CLOCK, MULTIPROCESSORS)
    return Limits(None, None, float(highest) if highest and plausible_mhz(highest) else None)


def temperature(machine: Machine) -> Source[float] | None:
    """The chip's, in degrees Celsius."""

    def read() -> float | None:
        celsius = machine.ask(TEMPERATURE, ON_CHIP)
        return float(celsius) if celsius and LOWEST_C < celsius < HIGHEST_C else None

    return Source("NVML: temperature", read)


def reasons(machine: Machine) -> Source[Throttling] | None:
    """What keeps the clock below what was asked for."""

    def read() -> Throttling | None:
        bits = machine.ask(REASONS)
        return None if bits is None else Throttling(tuple(word for bit, word in WORDS.items() if bits & bit), None)

    return Source("NVML: reasons for a lower clock", read)


def power(machine: Machine) -> Meter | None:
    """Of the whole card, in W."""

    def read() -> float | None:
        milliwatts = machine.ask(POWER)
        return milliwatts / 1e3 if milliwatts and milliwatts / 1e3 < MOST_W else None

    return Meter("NVML: the card", read, ())


def _device(driver: Any, library: Any) -> ctypes.c_void_p | None:
    identity, device = ctypes.create_string_buffer(_ID_BYTES), ctypes.c_void_p()
    if driver.cuInit(0) or driver.cuDeviceGetPCIBusId(identity, _ID_BYTES, 0):
        return None
    failed = library.nvmlInit_v2() or library.nvmlDeviceGetHandleByPciBusId_v2(identity, ctypes.byref(device))
    return None if failed else device


def _clock(machine: Machine, kind: int) -> Source[float] | None:
    def read() -> float | None:
        clock = machine.ask(CLOCK, kind)
        return float(clock) if clock and plausible_mhz(clock) else None

    return Source("NVML: clock", read)
