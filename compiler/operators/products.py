"""The sums of products of a linear layer in TE, whatever its weight looks like in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import expressions as ex


@dataclass(frozen=True)
class Products:
    """``weight``: the kernel's arguments that hold it; ``sum``: the int32 sum for (row, channel)."""

    weight: Sequence[Any]
    sum: Callable[[Any, Any], ex.Expr]
