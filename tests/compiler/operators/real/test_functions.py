"""exp, GELU and tanh: the oracle against the real functions, and the kernels' bytes against the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from intbert.compiler.operators.real import functions
from intbert.schedules.vectors import int16_lanes, vector_width
from numpy.typing import NDArray
from tvm import te
from tvm.s_tir import Schedule

from ..compiled import Compiled, Processor, compiled, every_processor
from .floats import assert_same_bytes

erf = np.vectorize(math.erf)


def values(low: float, high: float) -> NDArray[np.float32]:
    """8192 numbers: evenly spread, of every exponent, and the special ones."""
    random = np.random.default_rng(0)
    spread = np.linspace(low, high, 4096)
    exponents = np.exp2(random.uniform(-140, 100, 4000)) * random.choice([-1, 1], 4000)
    special = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, math.sqrt(32), -math.sqrt(32), -87.0, -86.99, 2.0**119, -(2.0**119)]
    special += [2.0**-149, -(2.0**-149)]
    numbers = np.concatenate([spread, exponents, special, np.zeros(82)]).astype(np.float32)
    return numbers.clip(np.float32(low), np.float32(high)) if low > -1e30 else numbers


def exact(name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "gelu":
        return x * 0.5 * (1 + erf(x / math.sqrt(2)))
    return {"exponential": np.exp, "tanh": np.tanh, "relu": lambda v: np.maximum(v, 0)}[name](x)


DOMAINS = {"exponential": (-87.0, 0.0), "gelu": (-12.0, 12.0), "tanh": (-20.0, 20.0), "relu": (-9.0, 9.0)}


@pytest.mark.parametrize(
    ("name", "absolute", "relative"),
    [("exponential", 0.0, 1e-7), ("gelu", 1e-6, 1e-7), ("tanh", 1e-7, 0.0), ("relu", 0.0, 0.0)],
)
def test_oracle_is_the_function(name: str, absolute: float, relative: float) -> None:
    x = np.linspace(*DOMAINS[name], 400001).astype(np.float32).astype(np.float64)
    expected = exact(name, x)
    error = np.abs(getattr(functions, name)(x) - expected)
    assert (error <= absolute + relative * np.abs(expected)).all()


def test_exponential_at_its_ends() -> None:
    result = functions.exponential(np.array([0.0, -0.0, -87.0, -1000.0, -(2.0**127)]))
    assert result[0] == result[1] == 1
    assert np.float32(2.0**-126) < result[2] == result[3] == result[4]


def test_gelu_far_from_zero() -> None:
    x = np.array([5.7, 1e10, -5.7, -1e10])
    assert functions.gelu(x).tolist() == [5.7, 1e10, 0.0, 0.0]


@pytest.mark.parametrize("x", [0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 4194302.5])
def test_halves_go_to_even(x: float) -> None:
    assert functions.nearest(np.array([x], np.float32)) == np.rint(x)


@pytest.mark.parametrize("bits", [24, 29])
def test_cut_clears_the_low_bits(bits: int) -> None:
    x = np.random.default_rng(0).normal(0, 1, 1000)
    cut = functions.cut(x, bits)
    assert (np.abs(cut) <= np.abs(x)).all()
    mantissa, _ = np.frexp(cut)
    assert (mantissa * 2.0**bits % 1 == 0).all()
    assert (np.abs(x - cut) < np.abs(x) * 2.0 ** (1 - bits)).all()


def kernel(processor: Processor, name: str, expression: Callable[[Any], Any], size: int) -> Compiled:
    def build() -> Any:
        x = te.placeholder((size,), "float32", name="x")
        y = te.compute((size,), lambda i: expression(x[i].astype("float64")).astype("float32"), name="y")
        schedule = Schedule(tvm.IRModule({"main": te.create_prim_func([x, y])}))
        (loop,) = schedule.get_loops(schedule.get_sblock("y"))
        _, lane = schedule.split(loop, [None, vector_width(size, int16_lanes(processor.target().features) // 2)])
        schedule.vectorize(lane)
        return schedule.mod["main"]

    return compiled(("real function", name, size), processor, build)


@pytest.mark.parametrize("size", [8192, 8191], ids=["vectors", "scalars"])
@pytest.mark.parametrize("name", ["gelu", "tanh"])
@every_processor
def test_kernel(processor: Processor, name: str, size: int) -> None:
    x = values(-(2.0**127), 2.0**127)[:size]
    x[:4000] = np.linspace(*DOMAINS[name], 4000).astype(np.float32)
    (result,) = kernel(processor, name, getattr(functions, f"{name}_expression"), size)(x)
    assert_same_bytes(result, getattr(functions, name)(x.astype(np.float64)).astype(np.float32))
