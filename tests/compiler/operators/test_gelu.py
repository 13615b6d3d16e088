"""GELU on every wide value: kernel against oracle, oracle against the real function, proofs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.gelu import CLIP, MIN_SCALE, Gelu, gelu_expression
from intbert.compiler.operators.interval import Interval
from intbert.errors import BoundsError

from .compiled import Processor, elementwise, every_processor
from .draws import ratios

WIDE = np.arange(-WIDE_LIMIT, WIDE_LIMIT + 1)
PADDED = np.append(WIDE, 0)
scales = ratios(MIN_SCALE, 0.25)


@every_processor
def test_kernel(processor: Processor) -> None:
    kernel = elementwise(processor, gelu_expression, ["int16"], 3, len(PADDED))

    @given(scales)
    def check(scale: float) -> None:
        gelu = Gelu.from_scale("layer", scale)
        (result,) = kernel(PADDED, np.array(gelu.scalars()))
        np.testing.assert_array_equal(result, gelu.oracle(PADDED))

    check()


def exact(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@given(ratios(MIN_SCALE, 0.02))
def test_oracle_is_gelu(scale: float) -> None:
    """The paper's polynomial is within 0.0182 of GELU; the integers add a step."""
    result = Gelu.from_scale("layer", scale).oracle(WIDE)
    assert np.abs(result * scale - exact(WIDE * scale)).max() <= 0.02 + scale


@given(scales)
def test_beyond_the_bend_it_is_relu(scale: float) -> None:
    gelu = Gelu.from_scale("layer", scale)
    result = gelu.oracle(WIDE)
    beyond = np.abs(WIDE) >= gelu.clip
    np.testing.assert_array_equal(result[beyond], np.maximum(WIDE, 0)[beyond])
    assert (np.abs(result) <= np.abs(WIDE)).all()
    assert abs(gelu.clip * scale - CLIP) <= scale / 2 + 1e-12


@given(scales)
def test_results_lie_in_the_proven_range(scale: float) -> None:
    gelu = Gelu.from_scale("layer", scale)
    proven = gelu.bounds(Interval.symmetric(WIDE_LIMIT))
    result = gelu.oracle(WIDE)
    assert proven.low <= result.min()
    assert result.max() <= proven.high


def test_bounds_at_the_edge() -> None:
    gelu = Gelu.from_scale("layer", MIN_SCALE)
    wide = Interval.symmetric(WIDE_LIMIT)
    gelu.bounds(wide)
    replace(gelu, coefficient=2**15 - 1).bounds(wide)
    with pytest.raises(BoundsError, match="layer: multiplier of GELU's polynomial"):
        replace(gelu, coefficient=2**15).bounds(wide)
    replace(gelu, clip=2**15 - 1, normalization=1).bounds(wide)
    with pytest.raises(BoundsError, match="layer: squared distance to GELU's clipping point"):
        replace(gelu, clip=2**15, normalization=1).bounds(wide)
    with pytest.raises(BoundsError, match="layer: GELU"):
        gelu.bounds(Interval.symmetric(WIDE_LIMIT + 1))


@pytest.mark.parametrize("scale", [10.0, 1e300, float("inf")])
def test_scale_without_a_bend_is_refused(scale: float) -> None:
    with pytest.raises(BoundsError, match=r"layers\.1\.intermediate: the scale .* too coarse"):
        Gelu.from_scale("layers.1.intermediate", scale)
