"""Request: what a quantization method is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CalibrationError, TrainingError
from .float_model import FloatModel
from .progress import Progress, silent
from .scheme import Scheme
from .tokenization import Batch


@dataclass(frozen=True)
class Calibration:
    """Token ids to observe activations on, and how ranges come from what is observed (see ``OBSERVERS``)."""

    batches: Sequence[Batch]
    observer: str = "percentile"
    observed: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What methods have seen on the batches; see :mod:`.post_training.observed`."""


@dataclass(frozen=True)
class Training:
    """A task to train on, where its data lies, and where checkpoints are kept."""

    task: str
    data: Path
    work: Path
    """Checkpoints; a run that was killed goes on from the last of them."""
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """A float model, the scheme, and what the method needs beside them."""

    model: FloatModel
    scheme: Scheme
    options: Any = None
    """The method's own options (``Method.options``), a frozen dataclass."""
    calibration: Calibration | None = None
    training: Training | None = None
    progress: Progress = field(default=silent)

    def needed_calibration(self) -> Calibration:
        """The calibration; CalibrationError when there are no sentences."""
        if self.calibration is None or not self.calibration.batches:
            raise CalibrationError("no sentences to calibrate on; give some that are like those the model will see")
        return self.calibration

    def needed_training(self) -> Training:
        """The training; TrainingError when none was given."""
        if self.training is None:
            raise TrainingError(f"the method {self.scheme.name} trains; give a task and its data")
        return self.training
