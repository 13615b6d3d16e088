"""What a board says of itself, and what a measurement on it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...compiler.runtime.driver import FoundGpu


@dataclass(frozen=True)
class Machine:
    """A board: its name here, its architecture and instruction set features, what it calls itself, its processor in
    words, its cores. ``gpu``: what runs the kernels; None: the processor. ``governor``: what chooses the clock of that
    one, None where it has none."""

    name: str
    arch: str
    features: frozenset[str]
    description: str
    cpu: str
    cores: int
    governor: str | None = None
    gpu: FoundGpu | None = None

    @property
    def computes(self) -> str:
        """What runs the kernels, in words; of a GPU with its chip and the CUDA release of its driver."""
        return self.cpu if self.gpu is None else str(self.gpu)


@dataclass(frozen=True)
class Measured:
    """``seconds``: samples of one call; ``sha256``: of the outputs' bytes, None where nothing ran; ``conditions``:
    after the last sample, as JSON. Or ``error``: why there are none."""

    seconds: tuple[float, ...] = ()
    sha256: str | None = None
    conditions: Mapping[str, Any] | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        assert (self.error is None) == bool(self.seconds)

    @classmethod
    def failed(cls, error: str) -> Measured:
        """A measurement that came to nothing."""
        return cls(error=error)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Measured:
        """Of what a board answered."""
        return cls(tuple(document["seconds"]), document["sha256"], document["conditions"])
