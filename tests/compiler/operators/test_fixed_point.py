"""The one multiplication on which all else stands, against its definition, on every processor."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from intbert.compiler.operators import expressions as ex
from intbert.compiler.operators.fixed_point import (
    bit_length,
    by_rows,
    exact_product,
    rounding_multiply_high,
    rounding_shift_right,
    saturate,
    saturate_int16,
)
from tvm import te
from tvm.s_tir import Schedule

from .compiled import Compiled, Processor, elementwise, every_processor

EDGES = np.array([-32767, -32766, -16384, -16383, -2, -1, 0, 1, 2, 181, 16383, 16384, 32766, 32767])
SIZE = 1 << 14


def factors() -> tuple[np.ndarray, np.ndarray]:
    """All pairs of edges, then random ones. -32768 squared is excluded, as in the proofs."""
    random = np.random.default_rng(0)
    pairs = np.stack(np.meshgrid(EDGES, EDGES)).reshape(2, -1)
    lowest = np.stack([np.full(EDGES.shape, -32768), EDGES])
    drawn = random.integers(-32767, 32768, (2, SIZE - pairs.shape[1] - lowest.shape[1]))
    a, b = np.concatenate([pairs, lowest, drawn], axis=1)
    return a, b


def test_definition_is_half_up():
    assert rounding_multiply_high(np.array([1, -1, 3, -3]), 2**14).tolist() == [1, 0, 2, -1]
    assert rounding_shift_right(np.array([1, -1, 3, -3]), 1).tolist() == [1, 0, 2, -1]
    assert rounding_shift_right(np.array([5, -5]), 0).tolist() == [5, -5]
    assert saturate(np.array([-200, 127, 128]), 127).tolist() == [-127, 127, 127]
    assert saturate_int16(np.array([-(2**15) - 1, 2**15])).tolist() == [-(2**15), 2**15 - 1]


@pytest.mark.parametrize("depth", [0, 1, 1040, 1041, 4096])
@pytest.mark.parametrize(("a", "b"), [(127, 127), (-128, 127), (255, -128), (1, 1), (0, 127)])
def test_products_of_the_largest_values_are_exact(depth: int, a: int, b: int) -> None:
    left, right = np.full((2, depth), a), np.full((depth, 3), b, np.int8)
    left[1] -= np.arange(depth) % 2  # so that sums are odd, which float32 loses first
    assert np.array_equal(exact_product(left, right), left @ right.astype(np.int64))


def test_products_of_many_matrices_are_exact() -> None:
    random = np.random.default_rng(0)
    left, right = random.integers(-128, 128, (2, 3, 5, 3000)), random.integers(-127, 128, (2, 3, 3000, 4))
    found = exact_product(left, right)
    assert found.dtype == np.int64
    assert np.array_equal(found, left @ right)


def test_bit_lengths_are_pythons() -> None:
    values = [0, 1, 2, 3, *(2**bits + offset for bits in range(2, 53) for offset in (-1, 0, 1) if bits < 52)]
    assert bit_length(np.array(values)).tolist() == [value.bit_length() for value in values]


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 100])
def test_blocks_of_rows_are_the_rows(rows: int) -> None:
    random = np.random.default_rng(rows)
    a, b = random.integers(-99, 99, (2, rows, 2**13))
    assert np.array_equal(by_rows(lambda x, y: x * 2 + y, a, b), a * 2 + b)
    assert np.array_equal(by_rows(lambda x, y: x - 1, a, None), a - 1)


@every_processor
@pytest.mark.parametrize("lanes", [1, 4, 8, 16, 32, 64])
def test_rounding_multiply_high_in_every_vector_width(processor: Processor, lanes: int) -> None:
    a, b = (te.placeholder((SIZE,), "int16", name=name) for name in "ab")
    result = te.compute((SIZE,), lambda i: ex.rounding_multiply_high(a[i], b[i]), name="result")
    schedule = Schedule(tvm.IRModule({"main": te.create_prim_func([a, b, result])}))
    (loop,) = schedule.get_loops(schedule.get_sblock("result"))
    schedule.vectorize(schedule.split(loop, [None, lanes])[1])
    x, y = factors()
    (product,) = Compiled(schedule.mod["main"], 1, processor)(x, y)
    np.testing.assert_array_equal(product, rounding_multiply_high(x, y))


def saturating_sum(a: ex.Expr, b: ex.Expr) -> ex.Expr:
    return ex.saturating_add_int16(a, b)


def saturated(a: ex.Expr) -> ex.Expr:
    return ex.saturate_int16(a)


@every_processor
def test_saturating_expressions(processor: Processor) -> None:
    x, y = factors()
    (total,) = elementwise(processor, saturating_sum, ["int16", "int16"], 0, SIZE)(x, y)
    np.testing.assert_array_equal(total, saturate_int16(x + y))
    product = x * y
    (narrowed,) = elementwise(processor, saturated, ["int32"], 0, SIZE)(product)
    np.testing.assert_array_equal(narrowed, saturate_int16(product))
