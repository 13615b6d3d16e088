"""The sum of word, position and token-type rows as float32, from int8 or float32 tables."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from ....errors import BoundsError
from .. import expressions as ex
from .operator import Extents, Plan, RealOperator
from .quantize import check_scale
from .ranges import Bounded, Range


@dataclass(frozen=True)
class Table:
    """``values[row] * scale``: one float32 scale, or one a row."""

    values: NDArray[Any]
    """int8 or float32."""
    scale: NDArray[np.float32]
    """[1] or [rows]."""

    @classmethod
    def of(cls, name: str, values: NDArray[Any], scale: NDArray[np.float64]) -> Table:
        """The table ``name``; BoundsError where a scale is no normal float32."""
        scales = [check_scale(name, float(value)) for value in np.atleast_1d(scale)]
        if values.dtype not in (np.int8, np.float32) or not np.isfinite(values).all():
            raise BoundsError(f"{name} must hold int8 or finite float32 values; quantize again")
        return cls(values, np.array(scales, np.float32))

    @property
    def reach(self) -> float:
        """The largest magnitude of an element."""
        largest = 128.0 if self.values.dtype == np.int8 else float(np.abs(self.values).max())
        return largest * float(self.scale.max())

    def oracle(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """[..., H] for row numbers [...]; every product is exact."""
        scale = self.scale[rows if len(self.scale) > 1 else np.zeros_like(rows)]
        return self.values[rows].astype(np.float64) * scale[..., None].astype(np.float64)


@dataclass(frozen=True)
class RealEmbedding(RealOperator):
    """``float32((word + position) + token_type)``, summed in float64; [batch * length, H]."""

    name: str
    word: Table
    position: Table
    """Row 0 belongs to the first token."""
    token_type: Table | None = None

    @property
    def tables(self) -> list[Table]:
        return [self.word, self.position, *([] if self.token_type is None else [self.token_type])]

    @property
    def plan(self) -> Plan:
        return Plan.ELEMENTS

    @property
    def structure(self) -> Hashable:
        return RealEmbedding, *(
            (table.values.shape, str(table.values.dtype), table.scale.shape) for table in self.tables
        )

    @property
    def inputs(self) -> int:
        return len(self.tables) - 1

    def parameters(self) -> list[NDArray[Any]]:
        return [array for table in self.tables for array in (table.values, table.scale)]

    def oracle(self, *inputs: Any) -> Any:
        ids = inputs[0]
        batch, length = ids.shape
        positions = np.broadcast_to(np.arange(length), ids.shape)
        total = self.word.oracle(ids) + self.position.oracle(positions)
        if self.token_type is not None:
            total = total + self.token_type.oracle(inputs[1])
        return total.astype(np.float32).reshape(batch * length, -1)

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        magnitude = sum(table.reach for table in self.tables)
        return Range.symmetric(magnitude).require(self.name, "the sum of the tables")

    def kernel(self, extents: Extents) -> Any:
        batch, length = extents.batch, extents.length
        inputs = [te.placeholder((batch, length), "int32", name="ids")]
        if self.token_type is not None:
            inputs.append(te.placeholder((batch, length), "int32", name="token_types"))
        tables = [
            (
                te.placeholder(table.values.shape, str(table.values.dtype), name=f"table{index}"),
                te.placeholder(table.scale.shape, "float32", name=f"scale{index}"),
            )
            for index, table in enumerate(self.tables)
        ]

        def element(row: Any, channel: Any) -> ex.Expr:
            b, i = row // length, row % length
            rows = [inputs[0][b, i], i, *(types[b, i] for types in inputs[1:])]
            total: Any = None
            for (values, scale), table_row in zip(tables, rows, strict=True):
                scale_row = table_row if scale.shape[0] > 1 else 0
                value = values[table_row, channel].astype("float64") * scale[scale_row].astype("float64")
                total = value if total is None else total + value
            return total.astype("float32")

        output = te.compute((batch * length, int(self.word.values.shape[1])), element, name="output")
        return te.create_prim_func([*inputs, *(array for table in tables for array in table), output])
