"""Sums of products by table look-up, in TE: what the micro-kernels of :mod:`~intbert.schedules.lookup` replace."""

from __future__ import annotations

from typing import Any

from tvm import te

from ...schedules.intrinsics.table_lookup import table_entry, table_sum
from ...schedules.lookup.operands import LookupOperands
from . import expressions as ex
from .products import Products


def lookup_products(x: Any, operands: LookupOperands) -> Products:
    """The sums of ``x`` [rows, K] and a weight that is indices, its gain included.

    Blocks: ``table``, of every row, and ``accumulator``. The sums contain what the tables add to every entry.
    """
    layout = operands.layout
    rows, inputs, lanes = x.shape[0], layout.inputs, layout.lanes
    indices = te.placeholder(layout.shape, layout.dtype, name="indices")
    table = te.compute(
        (layout.table_vectors, rows, lanes),
        lambda vector, i, lane: table_sum(operands.kernel.entry, x[i, 0], x[i, inputs - 1], vector, lane),
        name="table",
    )
    group = te.reduce_axis((0, layout.groups), "group")

    def entry(i: Any, j: Any) -> ex.Expr:
        vector = group // layout.tables
        return table_entry(table[vector, i, 0], table[vector, i, lanes - 1], indices[layout.index(j, group)])

    accumulator = te.compute((rows, layout.channels), lambda i, j: te.sum(entry(i, j), axis=group), name="accumulator")
    shift = 0 if operands.kernel.sets else operands.gain.bit_length() - 1
    return Products(
        [indices], lambda i, j: accumulator[i, j] << ex.constant(shift, "int32") if shift else accumulator[i, j]
    )
