"""GELU whose steps are rounded: kernel against oracle, oracle against the steps as ONNX computes them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tvm
from intbert.compiler.model import Quantization
from intbert.compiler.operators.real.functions import error_function, gelu, single, single_expression
from intbert.compiler.operators.real.quantize import Quantize, Roundings
from intbert.compiler.operators.real.ranges import Range
from intbert.compiler.operators.real.rounded_gelu import RoundedGelu
from intbert.compiler.operators.real.sources import Floats
from tvm import te

from ..compiled import Processor
from .floats import assert_same_bytes, cases, draws, run
from .operators import ONE_SIDED, source, source_inputs

ERF = Quantize.of("erf", Quantization(2 / 255, 8, 0, narrow_range=False))
GATE = Quantize.of("gate", Quantization(2 / 255, 8, -128, narrow_range=False))
ROUNDINGS: dict[str, tuple[Roundings, Roundings, Roundings]] = {
    "every step": ((ERF,), (GATE,), (ONE_SIDED,)),
    "two steps": ((), (GATE, GATE), (ONE_SIDED,)),
    "one step": ((ERF,), (), ()),
}


@cases((1, 1, 1), (1, 14, 64), everywhere=(2, 5, 24))
@pytest.mark.parametrize("kind", ROUNDINGS)
def test_kernel(processor: Processor, shape: tuple[int, int, int], kind: str) -> None:
    batch, length, channels = shape
    for name, quantize in (("rounded", ONE_SIDED), ("accumulators", None)):
        operator = RoundedGelu("gelu", source(name, channels), ROUNDINGS[kind], quantize)
        inputs = source_inputs(name, batch, batch * length, channels)
        (result,) = run(processor, operator, batch, length, inputs)
        assert_same_bytes(result, operator.oracle(*inputs))


def test_oracle_is_every_step_in_float32() -> None:
    x = np.linspace(-7, 7, 997, dtype=np.float32)[None]
    one, half = np.float32(1), np.float32(0.5)
    e = ERF.rounded(np.array([[math.erf(value / math.sqrt(2)) for value in x[0]]], np.float32))
    expected = ONE_SIDED.rounded(x * GATE.rounded(e + one)) * half
    operator = RoundedGelu("gelu", Floats(), ROUNDINGS["every step"])
    np.testing.assert_array_equal(operator.oracle(x), expected)
    proven = operator.bounds(1, Range(-7, 7))
    assert proven.low <= expected.min()
    assert expected.max() <= proven.high


def test_without_roundings_it_is_gelu() -> None:
    x = draws(0, 21, 64, 2.0)
    operator = RoundedGelu("gelu", Floats(), ((), (), ()))
    np.testing.assert_allclose(operator.oracle(x), gelu(x.astype(np.float64)), rtol=2e-7, atol=1e-6)


def test_error_function() -> None:
    x = np.linspace(-9, 9, 4001).astype(np.float32).astype(np.float64)
    expected = [math.erf(value / math.sqrt(2)) for value in x]
    np.testing.assert_allclose(error_function(x), expected, rtol=0, atol=1.2e-7)


def test_single_rounds_halves_to_even() -> None:
    """Kernels cannot ask LLVM for it: it would contract the product with the sum that reads it."""
    random = np.random.default_rng(0)
    values = random.normal(0, 1, 4096) * np.exp(random.uniform(-50, 50, 4096))
    halves = (random.integers(2**23, 2**24, 512) + 0.5) * random.choice([-1.0, 1.0], 512)
    x = np.concatenate([values, halves, [0.0, 1.0, -1.0]])
    given = te.placeholder((1, len(x)), "float64", name="x")
    output = te.compute(given.shape, lambda i, j: single_expression(given[i, j]), name="output")
    built = tvm.compile(te.create_prim_func([given, output]), target="llvm")
    result = tvm.runtime.empty((1, len(x)), "float64")
    built(tvm.runtime.tensor(x[None]), result)
    np.testing.assert_array_equal(result.numpy()[0], single(x))
