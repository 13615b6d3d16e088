"""What a board's sensors say while a benchmark runs. Runs on the board: the standard library only.

    sensors = Sensors(cpus={0, 1})  # of CPUs; Sensors(processor=GPU) are a GPU's
    before = sensors.read()
    ...
    flags = was_throttled(before, sensors.read())

A sensor that is absent, unreadable or talks nonsense is None. What each number comes from, and how far it can be
trusted, is in docs/telemetry.md.
"""

from .conditions import Conditions, Inventory, was_throttled
from .processors import CPU, GPU, PROCESSORS, Processor
from .sensors import Sensors

__all__ = ["CPU", "GPU", "PROCESSORS", "Conditions", "Inventory", "Processor", "Sensors", "was_throttled"]
