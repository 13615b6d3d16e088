"""The sensors of the machine that this runs on."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from .commands import Run, run_command
from .conditions import Conditions, Inventory
from .nvml import ask_nothing, first_card
from .processors import CPU, GPU, Processor
from .source import Ask, Machine, first
from .throttling import throttling


class Sensors:
    """Finds the sensors once, at construction, and reads them as often as wanted.

    Readings are about ``processor``, of CPUs about ``cpus`` where they can be (None: all). Files are looked for under
    ``root``; ``run`` gives a program's output, or None, within a second; ``ask`` asks an NVIDIA card (None: the one
    that CUDA calls the first, where the processor is a GPU). Nothing here raises for what a board lacks or what its
    files say.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        cpus: Collection[int] | None = None,
        run: Run = run_command,
        processor: Processor = CPU,
        ask: Ask | None = None,
    ) -> None:
        chosen = None if cpus is None else frozenset(cpus)
        if ask is None:
            ask = first_card() if processor is GPU else ask_nothing
        self._processor = processor
        self._machine = Machine(os.fspath(root), chosen, run, ask)
        self._clock = first(processor.clock, self._machine)
        self._memory_clock = first(processor.memory_clock, self._machine)
        self._temperature = first(processor.temperature, self._machine)
        self._throttling = throttling(self._machine, processor.throttling)
        self._power = first(processor.power, self._machine)

    def read(self) -> Conditions:
        """The conditions now. A file of sysfs takes microseconds; a meter on I2C and ``vcgencmd`` milliseconds."""
        held = None if self._throttling is None else self._throttling.read()
        return Conditions(
            clock_mhz=None if self._clock is None else self._clock.read(),
            temperature_c=None if self._temperature is None else self._temperature.read(),
            throttled=None if held is None else held.reasons,
            throttle_events=None if held is None else held.events,
            power_w=None if self._power is None else self._power.read(),
            memory_clock_mhz=None if self._memory_clock is None else self._memory_clock.read(),
        )

    def describe(self) -> Inventory:
        """What the readings come from."""
        allowed = self._processor.limits(self._machine)
        return Inventory(
            governor=allowed.governor,
            lowest_mhz=allowed.lowest_mhz,
            highest_mhz=allowed.highest_mhz,
            clock=None if self._clock is None else self._clock.words,
            temperature=None if self._temperature is None else self._temperature.words,
            throttled=None if self._throttling is None else self._throttling.words,
            power=None if self._power is None else self._power.words,
            rails=() if self._power is None else self._power.rails,
            memory_clock=None if self._memory_clock is None else self._memory_clock.words,
        )
