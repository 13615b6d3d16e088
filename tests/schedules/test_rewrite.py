"""Rewrites of scheduled functions: what they take out, and what they leave."""

from __future__ import annotations

import numpy as np
import tvm
from intbert.schedules.rewrite import drop_clearing, split_off_clearing
from tvm import te
from tvm.s_tir import Schedule


def column_sums(rows: int, columns: int) -> Schedule:
    x = te.placeholder((rows, columns), "int32", name="x")
    row = te.reduce_axis((0, rows), "row")
    sums = te.compute((columns,), lambda j: te.sum(x[row, j], axis=row), name="sums")
    doubled = te.compute((columns,), lambda j: sums[j] * 2, name="doubled")
    return Schedule(tvm.IRModule({"main": te.create_prim_func([x, sums, doubled])}))


def run(function, x):
    sums, doubled = (tvm.runtime.tensor(np.full(x.shape[1], 1000, np.int32)) for _ in range(2))
    tvm.compile(function, target="llvm")["main"](tvm.runtime.tensor(x), sums, doubled)
    return sums.numpy(), doubled.numpy()


def test_clearing_is_dropped_and_nothing_else() -> None:
    schedule = column_sums(3, 4)
    block = schedule.get_sblock("sums")
    split_off_clearing(schedule, block, schedule.get_loops(block)[0])
    function = schedule.mod["main"]
    x = np.arange(12, dtype=np.int32).reshape(3, 4)
    np.testing.assert_array_equal(run(function, x), (x.sum(axis=0), 2 * x.sum(axis=0)))
    # What memory held before is no longer cleared.
    kept = x.sum(axis=0) + 1000
    np.testing.assert_array_equal(run(drop_clearing(function), x), (kept, 2 * kept))


def test_functions_without_clearing_stay() -> None:
    function = column_sums(3, 4).mod["main"]
    tvm.ir.assert_structural_equal(drop_clearing(function), function)
