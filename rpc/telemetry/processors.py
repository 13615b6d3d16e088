"""What can compute on a machine, and where the sensors of each are looked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from . import clock, devfreq, nvml, power, thermal, throttling
from .clock import Limits
from .power import Meter
from .source import Machine, Source


@dataclass(frozen=True)
class Processor:
    """A registry of sources for each quantity, the best first, and what tells the limits of the clock.

    All sources of ``throttling`` add up; of the others the first that is there is taken.
    """

    name: str
    limits: Callable[[Machine], Limits]
    clock: tuple[Callable[[Machine], Source[float] | None], ...]
    memory_clock: tuple[Callable[[Machine], Source[float] | None], ...]
    temperature: tuple[Callable[[Machine], Source[float] | None], ...]
    throttling: throttling.Finders
    power: tuple[Callable[[Machine], Meter | None], ...]


def _gpu_limits(machine: Machine) -> Limits:
    found = devfreq.limits(machine)
    return nvml.limits(machine) if found.highest_mhz is None else found


CPU = Processor(
    name="cpu",
    limits=clock.limits,
    clock=clock.FINDERS,
    memory_clock=(devfreq.memory_clock,),
    temperature=thermal.FINDERS,
    throttling=throttling.FINDERS,
    power=power.FINDERS,
)
GPU = Processor(
    name="gpu",
    limits=_gpu_limits,
    clock=(devfreq.gpu_clock, nvml.clock),
    memory_clock=(devfreq.memory_clock, nvml.memory_clock),
    temperature=(thermal.gpu_zones, nvml.temperature),
    throttling=(throttling.over_current_events, throttling.cooling_devices_beside_a_gpu, nvml.reasons),
    power=(power.ina, nvml.power),
)
PROCESSORS: Mapping[str, Processor] = MappingProxyType({each.name: each for each in (CPU, GPU)})
"""By the name that a session asks for."""
