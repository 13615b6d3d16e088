"""Float layer normalization: kernel against oracle, oracle against the real function, proofs."""

from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler.operators.real.layer_norm import RealLayerNorm
from intbert.compiler.operators.real.quantize import Quantize
from intbert.compiler.operators.real.ranges import LARGEST, Range
from intbert.compiler.operators.real.sources import Floats
from intbert.compiler.operators.real.sums import LANES, lane_sum, running_sum
from intbert.errors import BoundsError

from ..compiled import HOST, Processor
from .floats import assert_same_bytes, cases, draws, run
from .operators import ONE_SIDED, SOURCES, SYMMETRIC, source, source_inputs


def norm(
    kind: str,
    n: int,
    residual: bool,
    quantize: Quantize | None,
    epsilon: float = 1e-12,
    rounded: tuple[Quantize, ...] = (),
) -> RealLayerNorm:
    random = np.random.default_rng(n)
    gamma, beta = random.normal(1, 0.5, n), random.normal(0, 1, n)
    gamma[0], beta[-1] = 0, 20
    return RealLayerNorm(
        "norm", source(kind, n), residual, gamma.astype(np.float32), beta.astype(np.float32), epsilon, quantize, rounded
    )


@cases((1, 1, 1), (1, 7, 5), (1, 14, 384), everywhere=(2, 7, 24))
@pytest.mark.parametrize("quantize", [pytest.param(None, id="stream"), pytest.param(SYMMETRIC, id="stream and hidden")])
def test_kernel(processor: Processor, shape: tuple[int, int, int], quantize: Quantize | None) -> None:
    batch, length, n = shape
    rows = batch * length
    for kind in SOURCES if processor is HOST and n == 24 else ["accumulators"]:
        for residual in (True, False) if processor is HOST else (True,):
            operator = norm(kind, n, residual, quantize)
            inputs = source_inputs(kind, batch, rows, n, seed=n)
            inputs += [draws(9, rows, n)] if residual else []
            expected = operator.oracle(*inputs)
            expected = expected if isinstance(expected, tuple) else (expected,)
            for result, oracle in zip(run(processor, operator, batch, length, inputs), expected, strict=True):
                assert_same_bytes(result, oracle)


@cases(everywhere=(2, 7, 24))
@pytest.mark.parametrize("rounded", [(ONE_SIDED,), (ONE_SIDED, SYMMETRIC)], ids=["once", "twice"])
def test_a_rounded_sum(processor: Processor, shape: tuple[int, int, int], rounded: tuple[Quantize, ...]) -> None:
    batch, length, n = shape
    operator = norm("rounded", n, True, SYMMETRIC, 1e-5, rounded)
    inputs = [*source_inputs("rounded", batch, batch * length, n), draws(9, batch * length, n)]
    for result, oracle in zip(run(processor, operator, batch, length, inputs), operator.oracle(*inputs), strict=True):
        assert_same_bytes(result, oracle)
    total = operator.source.oracle(*inputs[:1]) + inputs[1]
    plain = norm("floats", n, False, SYMMETRIC, 1e-5)
    x = total.astype(np.float32)
    for quantize in rounded:
        x = quantize.rounded(x)
    np.testing.assert_array_equal(operator.oracle(*inputs)[0], plain.oracle(x)[0])


def test_oracle_is_layer_normalization() -> None:
    operator = norm("floats", 384, True, None, 1e-5)
    x, residual = (np.random.default_rng(seed).normal(0.2, 3, (6, 384)).astype(np.float32) for seed in (0, 1))
    total = (x + residual).astype(np.float64)
    centered = total - total.mean(axis=1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(axis=1, keepdims=True) + 1e-5) * operator.gamma + operator.beta
    np.testing.assert_allclose(operator.oracle(x, residual), expected, rtol=1e-6, atol=2e-6)


def test_a_constant_row_gives_beta() -> None:
    operator = norm("floats", 24, False, None)
    x = np.full((1, 24), 3.25, np.float32)
    np.testing.assert_array_equal(operator.oracle(x)[0], operator.beta)


def test_outputs_stay_in_the_proven_range() -> None:
    operator = norm("floats", 64, False, SYMMETRIC)
    x = draws(5, 70, 64, 1e3)
    stream, hidden = operator.oracle(x)
    bounds = operator.bounds(1, Range(float(x.min()), float(x.max())))
    assert isinstance(bounds, tuple)
    for values, proven in zip((stream, hidden), bounds, strict=True):
        assert proven.low <= values.min()
        assert values.max() <= proven.high


def test_infinite_inputs_are_refused() -> None:
    operator = RealLayerNorm("norm", Floats(), True, np.ones(2, np.float32), np.zeros(2, np.float32), 1e-5)
    with pytest.raises(BoundsError, match=r"norm: the normalization's input spans"):
        operator.bounds(1, Range(0, LARGEST), Range(0, LARGEST))


@pytest.mark.parametrize("n", [1, 15, 16, 17, 384])
def test_sums_in_lanes(n: int) -> None:
    x = np.random.default_rng(n).normal(0, 1, (3, n))
    lanes = [running_sum(x[:, lane::LANES], 1) if lane < n else np.zeros(3) for lane in range(LANES)]
    np.testing.assert_array_equal(lane_sum(x), running_sum(np.array(lanes), 0))
    np.testing.assert_allclose(lane_sum(x), x.sum(axis=1), atol=1e-12)
