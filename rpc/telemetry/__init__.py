"""What a board's sensors say while a benchmark runs. Runs on the board: the standard library only.

    sensors = Sensors(cpus={0, 1})
    before = sensors.read()
    ...
    flags = was_throttled(before, sensors.read())

A sensor that is absent, unreadable or talks nonsense is None. What each number comes from, and how far it can be
trusted, is in docs/telemetry.md.
"""

from .conditions import Conditions, Inventory, was_throttled
from .sensors import Sensors

__all__ = ["Conditions", "Inventory", "Sensors", "was_throttled"]
