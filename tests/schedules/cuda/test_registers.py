"""Expressions in registers: the same values, without the casts and clamps that change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
import tvm_ffi
from intbert.schedules.cuda.registers import Registers
from intbert.schedules.intrinsics.fixed_point import rounding_multiply_high
from intbert.schedules.intrinsics.rounding_shift import rounding_shift_right
from intbert.schedules.intrinsics.saturating_add import saturating_add_int16
from intbert.schedules.intrinsics.saturation import saturate_int16
from numpy.typing import NDArray
from tvm import te, tirx

EDGES = (-(2**15), -(2**15) + 1, -4097, -256, -129, -2, -1, 0, 1, 2, 127, 255, 4096, 2**15 - 2, 2**15 - 1)
PAIRS = np.array([(a, b) for a in EDGES for b in EDGES], np.int16).T


def int16(value: int) -> Any:
    return tirx.const(value, "int16")


EXPRESSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: int16(26546) - (a - b),
    "product": lambda a, b: a * b,
    "wide product": lambda a, b: a.astype("int32") * b.astype("int32"),
    "minimum": lambda a, b: te.min(a, b),
    "maximum": lambda a, b: te.max(te.min(a, int16(127)), b),
    "limited twice": lambda a, b: te.min(te.min(a + int16(7), int16(4096)), b),
    "saturated and limited": lambda a, b: te.min(saturate_int16(a.astype("int32") * 9), b),
    "clamped": lambda a, b: te.max(te.min(a + b, int16(2**15 - 1)), int16(-(2**15))),
    "fraction": lambda a, b: ((a & int16(1023)) << int16(5)) + (a & b),
    "shifted": lambda a, b: a >> (b & int16(15)),
    "shifted without signs": lambda a, b: a.astype("uint16") >> (b.astype("uint16") & tirx.const(15, "uint16")),
    "minimum without signs": lambda a, b: te.min(a.astype("uint16"), b.astype("uint16")),
    "bytes": lambda a, b: a.astype("uint8") + b.astype("int8").astype("uint8"),
    "selected": lambda a, b: tirx.Select(a > b, a, int16(-1)) & b,
    "multiplied": lambda a, b: rounding_multiply_high(a, b),
    "multiplied by a constant": lambda a, b: rounding_multiply_high(a, int16(13593)) - b,
    "saturated": lambda a, b: saturate_int16(a.astype("int32") * b.astype("int32") + 5),
    "saturated sum": saturating_add_int16,
    "rounded": lambda a, b: rounding_shift_right(a >> int16(1), (b & int16(7)) + int16(1)),
    "divided": lambda a, b: tirx.truncdiv(a.astype("int32"), te.max(b.astype("int32"), tirx.const(3, "int32"))),
}


def function(count: int) -> Any:
    """The PrimFunc of int16 a, b of ``count`` elements, and the int32 results of all expressions."""
    a, b = (te.placeholder((count,), "int16", name=name) for name in "ab")

    def result(expression: Callable[[Any, Any], Any]) -> Any:
        return te.compute((count,), lambda i: expression(a[i], b[i]).astype("int32"))

    return te.create_prim_func([a, b, *map(result, EXPRESSIONS.values())])


def in_registers(function: Any, registers: Registers) -> Any:
    def stored(store: Any) -> Any:
        return tirx.BufferStore(store.buffer, registers.value(store.value), store.indices)

    return function.with_body(tvm_ffi.structural_map(function.body, (tirx.BufferStore, stored)))


def results(function: Any, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    outputs = [tvm.runtime.tensor(np.zeros(values.shape[1], np.int32)) for _ in EXPRESSIONS]
    tvm.compile(function, target="llvm")(*map(tvm.runtime.tensor, values), *outputs)
    return dict(zip(EXPRESSIONS, (output.numpy() for output in outputs), strict=True))


@pytest.mark.parametrize("low", [-(2**15), 0, 1], ids=["any values", "not negative", "positive"])
def test_the_same_values(low: int) -> None:
    values = np.ascontiguousarray(PAIRS[:, PAIRS.min(axis=0) >= low])
    original = function(values.shape[1])
    found = results(in_registers(original, Registers(dict.fromkeys("ab", (low, 2**15 - 1)))), values)
    for name, expected in results(original, values).items():
        np.testing.assert_array_equal(found[name], expected, name)


A, B = (tirx.decl_buffer((2,), "int16", name=name)[0] for name in "ab")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (saturate_int16(A.astype("int32") + B.astype("int32")), "T.min({a} + {b}, 32767)"),
        (rounding_multiply_high(A, B).astype("uint16"), "{a} * {b} + 16384 >> 15"),
        (te.max(A, int16(-5)) - B, "{a} - {b}"),
        (te.min(saturate_int16(A.astype("int32") << 5), B), "T.min({a} << 5, {b})"),
        ((A & int16(1023)) << int16(5), "({a} & 1023) << 5"),
    ],
    ids=["a clamp from below", "casts", "a maximum", "a limit above another", "a shift"],
)
def test_what_changes_nothing_is_left_out(expression: Any, expected: str) -> None:
    value = Registers(dict.fromkeys("ab", (0, 2**15 - 1))).value(expression)
    assert value.script().splitlines()[-1] == expected.format(a='T.Cast("int32", a[0])', b='T.Cast("int32", b[0])')


def test_a_value_that_may_leave_its_type_wraps() -> None:
    assert 'T.Cast("int16"' in Registers({}).value(A + A).script()
    assert 'T.Cast("int16"' not in Registers({"a": (0, 2**14 - 1)}).value(A + A).script()
