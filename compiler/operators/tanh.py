"""Integer tanh: a table of 4096 narrow values, indexed by the upper 12 bits of a wide value.

Every target reads the same table, made at compile time in double precision, so the bytes agree everywhere. Only
poolers use it, once a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from . import expressions as ex
from .fixed_point import WIDE_LIMIT, Int64Array
from .interval import Interval
from .value_range import NARROW, Range

INDEX_SHIFT = 3
ENTRIES = 2 * (WIDE_LIMIT + 1) >> INDEX_SHIFT


@dataclass(frozen=True)
class Tanh:
    """Wide values to narrow ones: ``table[(q + 16384) >> 3]``."""

    name: str
    table: NDArray[np.int8]

    @classmethod
    def from_scales(cls, name: str, input_scale: float, output_scale: float, output: Range = NARROW) -> Tanh:
        """Each entry is tanh at the middle of the inputs that share it, halves rounded up."""
        middle = (np.arange(ENTRIES) << INDEX_SHIFT) + (1 << INDEX_SHIFT) / 2 - 0.5 - (WIDE_LIMIT + 1)
        with np.errstate(over="ignore"):
            values = np.floor(np.tanh(middle * input_scale) / output_scale + 0.5)
        return cls(name, np.clip(values + output.zero_point, output.low, output.limit).astype(np.int8))

    def oracle(self, q: Int64Array) -> Int64Array:
        """q: any shape, wide; the same shape, narrow."""
        return self.table[(q + WIDE_LIMIT + 1) >> INDEX_SHIFT].astype(np.int64)

    def bounds(self) -> Interval:
        """The output's range; the index of every wide value lies inside the table."""
        index = (Interval.symmetric(WIDE_LIMIT) + WIDE_LIMIT + 1) >> INDEX_SHIFT
        assert index.low >= 0
        assert index.high < len(self.table)
        return Interval(int(self.table.min()), int(self.table.max()))

    def parameters(self) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""
        return [self.table]


def tanh_kernel(rows: int, channels: int, output_zero_point: int) -> Any:
    """The unscheduled PrimFunc: arguments x (int16), table (int8), output."""
    x = te.placeholder((rows, channels), "int16", name="x")
    table = te.placeholder((ENTRIES,), "int8", name="table")

    def element(i: Any, c: Any) -> ex.Expr:
        index = (x[i, c].astype("int32") + (WIDE_LIMIT + 1)) >> INDEX_SHIFT
        return ex.store_narrow(table[index].astype("int16"), output_zero_point)

    return te.create_prim_func([x, table, te.compute((rows, channels), element, name="output")])
