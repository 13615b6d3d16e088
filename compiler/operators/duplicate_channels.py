"""Duplication of channels: what a linear layer reads twice because a weight column, split in two, fits int8 no more.

Outlier channel splitting (Zhao et al. 2019, section 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from .fixed_point import Int64Array
from .interval import Interval
from .value_range import NARROW, Range


@dataclass(frozen=True)
class DuplicateChannels:
    """``x[rows, K]`` narrow to ``[rows, K + D]``: the same, and behind it the channels ``duplicated`` again."""

    name: str
    inputs: int
    """K."""
    duplicated: NDArray[np.int32]
    """[D]."""
    range: Range = NARROW

    @classmethod
    def of(cls, name: str, inputs: int, duplicated: tuple[int, ...], values: Range) -> DuplicateChannels:
        """The operator for ``inputs`` channels whose integers lie in ``values``."""
        return cls(name, inputs, np.array(duplicated, np.int32), values)

    @property
    def channels(self) -> int:
        """K + D."""
        return self.inputs + len(self.duplicated)

    def oracle(self, x: Int64Array) -> Int64Array:
        """x: [rows, K]; [rows, K + D]."""
        return np.concatenate([x, x[:, self.duplicated]], axis=1)

    def bounds(self) -> Interval:
        """The output's range: the input's."""
        return self.range.interval

    def parameters(self) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""
        return [self.duplicated]


def duplicate_channels_kernel(operator: DuplicateChannels, rows: int, zero_point: int) -> Any:
    """The unscheduled PrimFunc: arguments x, duplicated (int32), output."""
    inputs = operator.inputs
    x = te.placeholder((rows, inputs), "uint8" if zero_point else "int8", name="x")
    duplicated = te.placeholder((len(operator.duplicated),), "int32", name="duplicated")

    def element(i: Any, c: Any) -> Any:
        # A branch a vector of channels: no index before the first duplicate is read.
        return tirx.if_then_else(c < inputs, x[i, c], x[i, duplicated[c - inputs]])

    return te.create_prim_func([x, duplicated, te.compute((rows, operator.channels), element, name="output")])
