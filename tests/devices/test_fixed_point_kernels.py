"""The fixed-point intrinsics of Arm CPUs on an emulated one: what NumPy's wider integers give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from intbert.schedules.intrinsics.rounding_shift import rounding_shift_right
from intbert.schedules.intrinsics.saturating_add import saturating_add_int16
from intbert.targets import get_target
from tvm import te
from tvm.s_tir import Schedule

from ..schedules.linear_cases import Array
from .kernels import run_on_board
from .virtual_board import VirtualBoard

Boards = Callable[[str], VirtualBoard]

LENGTH = 256
WIDTHS = (1, 4, 8, 16)
"""A scalar, a register of either width, and more than a register."""


def kernel(function: Callable[[Any, Any], Any], dtype: str, width: int) -> Any:
    a, b = (te.placeholder((LENGTH,), dtype, name=name) for name in "ab")
    # What an operator gives to these intrinsics are expressions; an element of a placeholder has no type yet.
    output = te.compute((LENGTH,), lambda i: function(a[i].astype(dtype), b[i].astype(dtype)), name="output")
    sch = Schedule(te.create_prim_func([a, b, output]))
    if width > 1:
        _, lane = sch.split(sch.get_loops(sch.get_sblock("output"))[-1], [None, width])
        sch.vectorize(lane)
    return sch.mod["main"]


def draws(dtype: str) -> tuple[Array, Array]:
    """Values whose rounding cannot overflow, and shift counts from 1 on."""
    random, info = np.random.default_rng(1), np.iinfo(dtype)
    bits = np.arange(LENGTH) % (info.bits - 2) + 1
    values = random.integers(info.min, info.max + 1, LENGTH).clip(info.min, info.max - (1 << (bits - 1)))
    # Halves of both signs, where there are any.
    values[::3] = ((np.int64(1) << bits) * -1.5)[::3] if info.min else ((np.int64(1) << bits) * 1.5)[::3]
    return values.astype(dtype), bits.astype(dtype)


def test_intrinsics(boards: Boards, tmp_path: Path) -> None:
    functions, calls, expected = {}, {}, {}
    for width in WIDTHS:
        for dtype in ("int32", "int16", "uint16"):
            name = f"shift_{dtype}_{width}"
            values, bits = draws(dtype)
            functions[name] = kernel(rounding_shift_right, dtype, width)
            calls[f"{name}/case"] = [values, bits, np.zeros_like(values)]
            wide, count = values.astype(np.int64), bits.astype(np.int64)
            expected[f"{name}/case"] = (wide + (1 << (count - 1))) >> count
        name = f"add_{width}"
        a, b = np.random.default_rng(width).integers(-(2**15), 2**15, (2, LENGTH)).astype(np.int16)
        functions[name] = kernel(saturating_add_int16, "int16", width)
        calls[f"{name}/case"] = [a, b, np.zeros_like(a)]
        expected[f"{name}/case"] = (a.astype(np.int64) + b).clip(-(2**15), 2**15 - 1)
    outputs = run_on_board(boards("cortex-a72"), get_target("rpi4"), functions, calls, tmp_path)
    for call, values in expected.items():
        np.testing.assert_array_equal(outputs[call], values, call)
