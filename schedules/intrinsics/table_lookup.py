"""The TIR intrinsics of table look-up: they say what a schedule's micro-kernels compute, which replace all of them.

A table is named by its first and its last entry, so that TVM knows which part of a buffer is read.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from .registration import register_operation

TABLE_ENTRY = "intbert.table_entry"
TABLE_SUM = "intbert.table_sum"


def table_entry(first: Any, last: Any, indices: Any) -> Any:
    """TIR: the entry of the table from ``first`` to ``last`` that a field of ``indices`` names, as int32."""
    return tirx.call_intrin("int32", TABLE_ENTRY, first, last, indices)


def table_sum(dtype: str, first: Any, last: Any, vector: Any, lane: Any) -> Any:
    """TIR: an entry of a row's tables, from its activations from ``first`` to ``last``."""
    return tirx.call_intrin(dtype, TABLE_SUM, first, last, vector, lane)


register_operation(TABLE_ENTRY, "the entry of a table")
register_operation(TABLE_SUM, "the sum of activations times the weights that an index stands for")
