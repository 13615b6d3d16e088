"""What can be chosen of BRECQ."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import SchemeError


@dataclass(frozen=True)
class BrecqOptions:
    """The learning of the roundings."""

    iterations: int = 100
    """Steps of Adam for each encoder layer."""
    learning_rate: float = 0.05
    batch: int = 8
    """Sentences in each step."""
    regularizer: float = 0.01
    """How much an undecided rounding costs."""
    mixing: float = 0.0
    """The share of a layer's inputs taken from the float model (Wei et al., QDrop, ICLR 2022, drop half of the
    roundings); the others come from the quantized layers before it."""
    fisher: bool = False
    """Weights errors by the diagonal of the Fisher information of the model's own output distribution."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "batch"):
            if getattr(self, name) < 1:
                raise SchemeError(f"brecq: {name} is {getattr(self, name)}, it must be at least 1")
        if not self.learning_rate > 0:
            raise SchemeError(f"brecq: learning_rate is {self.learning_rate}, it must be positive")
        if not self.regularizer >= 0:
            raise SchemeError(f"brecq: regularizer is {self.regularizer}, it must not be negative")
        if not 0 <= self.mixing <= 1:
            raise SchemeError(f"brecq: mixing is {self.mixing}, it must lie between 0 and 1")
