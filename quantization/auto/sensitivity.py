"""How much of a model's output fewer bits of one part change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..float_model import FloatModel
from ..progress import Progress
from ..tokenization import Batch
from .search import Sensitivity
from .simulation import Simulation
from .units import Unit


def measure_sensitivity(
    model: FloatModel,
    simulation: Simulation,
    units: Sequence[Unit],
    bits: Sequence[int],
    batches: Sequence[Batch],
    progress: Progress,
    label: str,
) -> Sensitivity:
    """Unit -> bits -> the output's squared error over the float output's energy, with that unit alone quantized.

    8 bits, where the search begins, are counted as no error.
    """
    original = [model.forward(batch) for batch in batches]
    energy = sum(float(np.vdot(output, output)) for output in original) or 1.0
    fewer = [choice for choice in bits if choice < 8]
    found: dict[str, dict[int, float]] = {}
    for unit in progress(units, f"{label}: sensitivity", len(units)):
        found[unit.name] = {8: 0.0}
        for choice in fewer:
            simulated = simulation.alone(unit, choice)
            error = 0.0
            for batch, output in zip(batches, original, strict=True):
                difference = simulated.forward(batch) - output
                error += float(np.vdot(difference, difference))
            found[unit.name][choice] = error / energy
    return found
