"""The sum of word, position and token-type rows as float32, from int8 or float32 tables.

Where the sum of the first two is quantized and dequantized, every term and sum is one of float32 values, as in ONNX.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from ....errors import BoundsError
from .. import expressions as ex
from .functions import real, single, single_expression
from .operator import Extents, Plan, RealOperator
from .quantize import SCALARS, Roundings, check_scale, reach, rounded, rounded_chain, scalars_of
from .ranges import Bounded, Range


@dataclass(frozen=True)
class Table:
    """``(values[row] - zero_point) * scale``: one float32 scale, or one a row."""

    values: NDArray[Any]
    """int8 or float32."""
    scale: NDArray[np.float32]
    """[1] or [rows]."""
    zero_point: int = 0

    @classmethod
    def of(cls, name: str, values: NDArray[Any], scale: NDArray[np.float64], zero_point: int = 0) -> Table:
        """The table ``name``; BoundsError where a scale is no normal float32."""
        scales = [check_scale(name, float(value)) for value in np.atleast_1d(scale)]
        if values.dtype not in (np.int8, np.float32) or not np.isfinite(values).all():
            raise BoundsError(f"{name} must hold int8 or finite float32 values; quantize again")
        return cls(values, np.array(scales, np.float32), zero_point)

    @property
    def reach(self) -> float:
        """The largest magnitude of an element."""
        largest = 128.0 if self.values.dtype == np.int8 else float(np.abs(self.values).max())
        return (largest + abs(self.zero_point)) * float(self.scale.max())

    def oracle(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """[..., H] for row numbers [...]; every product is exact."""
        scale = self.scale[rows if len(self.scale) > 1 else np.zeros_like(rows)]
        return (self.values[rows].astype(np.float64) - self.zero_point) * scale[..., None].astype(np.float64)


@dataclass(frozen=True)
class RealEmbedding(RealOperator):
    """``float32((word + position) + token_type)``, summed in float64; [batch * length, H]."""

    name: str
    word: Table
    position: Table
    """Row 0 belongs to the first token."""
    token_type: Table | None = None
    partial: Roundings = ()
    """How the sum of the first two is rounded: of word and position, unless ``token_type_first``."""
    token_type_first: bool = False

    @property
    def tables(self) -> list[Table]:
        return [self.word, self.position, *([] if self.token_type is None else [self.token_type])]

    @property
    def plan(self) -> Plan:
        return Plan.ELEMENTS

    @property
    def structure(self) -> Hashable:
        return (
            RealEmbedding,
            *(
                (table.values.shape, str(table.values.dtype), table.scale.shape, table.zero_point)
                for table in self.tables
            ),
            len(self.partial),
            self.token_type_first,
        )

    @property
    def inputs(self) -> int:
        return len(self.tables) - 1

    def parameters(self) -> list[NDArray[Any]]:
        return [*(array for table in self.tables for array in (table.values, table.scale)), *scalars_of(*self.partial)]

    def oracle(self, *inputs: Any) -> Any:
        ids = inputs[0]
        batch, length = ids.shape
        positions = np.broadcast_to(np.arange(length), ids.shape)
        terms = [self.word.oracle(ids), self.position.oracle(positions)]
        if self.token_type is not None:
            terms.insert(1 if self.token_type_first else 2, self.token_type.oracle(inputs[1]))
        if self.partial:
            first, second, *rest = (single(term) for term in terms)
            terms = [rounded(self.partial, (first + second).astype(np.float32)).astype(np.float64), *rest]
        total = sum(terms[1:], start=terms[0])
        return total.astype(np.float32).reshape(batch * length, -1)

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        magnitude = sum(table.reach for table in self.tables)
        if self.partial:
            magnitude += reach(self.partial, 0.0)
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
        scalars = te.placeholder((max(1, len(self.partial)) * SCALARS,), "float32", name="scalars")

        def element(row: Any, channel: Any) -> ex.Expr:
            b, i = row // length, row % length
            rows = [inputs[0][b, i], i, *(types[b, i] for types in inputs[1:])]
            terms = []
            for table, (values, scale), table_row in zip(self.tables, tables, rows, strict=True):
                scale_row = table_row if scale.shape[0] > 1 else 0
                value = values[table_row, channel].astype("float64")
                if table.zero_point:
                    value = value - real(float(table.zero_point))
                terms.append(value * scale[scale_row].astype("float64"))
            if self.token_type_first:
                terms.insert(1, terms.pop())
            if self.partial:
                first, second, *rest = (single_expression(term) for term in terms)
                total = rounded_chain((first + second).astype("float32"), self.partial, scalars, 0)
                terms = [total.astype("float64"), *rest]
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            return total.astype("float32")

        output = te.compute((batch * length, int(self.word.values.shape[1])), element, name="output")
        constants = [*(array for table in tables for array in table), *([scalars] if self.partial else [])]
        return te.create_prim_func([*inputs, *constants, output])
