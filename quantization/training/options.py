"""How to train: what every method that trains lets its user choose."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import TrainingError


@dataclass(frozen=True)
class TrainingOptions:
    """AdamW with a linear warm-up and a linear decay (Devlin et al., "BERT", NAACL 2019, appendix A.3)."""

    epochs: int = 3
    learning_rate: float = 5e-5
    """Of the float parameters, after the warm-up."""
    quantizer_learning_rate: float = 1e-4
    """Of the scales and clips that a method learns."""
    batch_size: int = 32
    max_length: int = 64
    """Cut sentences to so many tokens."""
    warmup: float = 0.1
    """The part of all steps over which the learning rates rise."""
    weight_decay: float = 0.01
    limit: int = 0
    """Examples to train on, drawn by the seed; 0: all."""
    checkpoint_steps: int = 100
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        for name, lowest in (
            ("epochs", 1),
            ("batch_size", 1),
            ("max_length", 3),
            ("limit", 0),
            ("checkpoint_steps", 1),
        ):
            if getattr(self, name) < lowest:
                raise TrainingError(f"{name} is {getattr(self, name)}; it must be at least {lowest}")
        for name in ("learning_rate", "quantizer_learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise TrainingError(f"{name} is {getattr(self, name)}; it must be a positive number")
        if not 0 <= self.warmup <= 1:
            raise TrainingError(f"warmup is {self.warmup}; it is a part of the steps, from 0 to 1")
        if not 0 <= self.weight_decay < 1:
            raise TrainingError(f"weight_decay is {self.weight_decay}; it must lie from 0 to 1")


@dataclass(frozen=True)
class DistillationOptions(TrainingOptions):
    """With the float model as the teacher."""

    teacher_memory: int = 4096
    """MiB of the teacher's activations that are remembered from the first epoch on; texts that do not fit are computed
    in every epoch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher_memory < 0:
            raise TrainingError(f"teacher_memory is {self.teacher_memory}; it must be at least 0")
