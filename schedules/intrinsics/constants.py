"""Constant vectors in TIR."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tvm import tirx


def constant_vector(values: Iterable[int], dtype: str) -> Any:
    """A vector of these integers, each of ``dtype``."""
    scalars = [tirx.const(int(value), dtype) for value in values]
    return tirx.Shuffle(scalars, list(range(len(scalars))))
