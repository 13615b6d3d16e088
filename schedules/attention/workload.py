"""The attention operator's workload."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionWorkload:
    """``batch`` sequences of ``length`` tokens, ``heads`` heads of ``head_dim`` channels."""

    batch: int
    length: int
    heads: int
    head_dim: int
    unsigned: bool
    """Whether memory holds the context as uint8 with zero point 128."""
    lanes: int
    """int16 lanes of the target's widest vector."""
