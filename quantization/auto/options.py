"""What the user of ``auto`` chooses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...errors import SchemeError

CHOICES = (8, 4, 3, 2)


@dataclass(frozen=True)
class AutoOptions:
    """How far the metric may drop, what is searched, and on how many examples."""

    max_drop: float = 0.5
    """Points, hundredths of the metric, below the float model."""
    latency_table: str = ""
    """A JSON file (see :mod:`.latency`): the fastest model is sought rather than the smallest."""
    methods: str = "ibert,lq,aciq,ocs"
    """Post-training methods to try, those of them that there are."""
    bits: str = "8,4,3,2"
    """Bits that a linear's weights, and the word embeddings, may have; 8 among them."""
    sensitivity_sentences: int = 32
    """Calibration sentences on which the error of each part's fewer bits is measured."""
    search_examples: int = 150
    """Examples of the development set on which simulated configurations are judged."""
    examples: int = 0
    """Examples on which the integer models are judged; 0: the whole development set."""
    confirmations: int = 6
    """Integer models to judge, at most."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise SchemeError(f"max_drop is {self.max_drop:g}; it is a number of points, 0 or more")
        for name, lowest in (
            ("sensitivity_sentences", 1),
            ("search_examples", 2),
            ("examples", 0),
            ("confirmations", 1),
        ):
            if getattr(self, name) < lowest:
                raise SchemeError(f"{name} is {getattr(self, name)}; it must be at least {lowest}")
        if 8 not in self.bit_choices:
            raise SchemeError(
                f"bits is {self.bits!r}; it is a list such as 8,4,2 with 8, where the search begins, in it"
            )

    @property
    def bit_choices(self) -> tuple[int, ...]:
        """``bits`` as numbers, the most first."""
        try:
            found = sorted({int(part) for part in self.bits.split(",")}, reverse=True)
        except ValueError:
            raise SchemeError(f"bits is {self.bits!r}; it is a list such as 8,4,2") from None
        if not 1 <= found[-1] <= found[0] <= 8:
            raise SchemeError(f"bits is {self.bits!r}; weights have 1 to 8 bits")
        return tuple(found)
