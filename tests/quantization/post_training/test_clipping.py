from __future__ import annotations

import numpy as np
import pytest
from intbert.quantization.post_training.clipping import Distribution, Spread, gauss_clip, laplace_clip, optimal_clip
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import lambertw
from scipy.stats import norm

BITS = range(1, 10)


@pytest.mark.parametrize("bits", BITS)
def test_laplace_is_lamberts_function(bits: int):
    assert laplace_clip(2**bits) == pytest.approx(lambertw(3 * 4**bits).real, rel=1e-12)


@pytest.mark.parametrize("bits", BITS)
def test_laplace_minimizes_the_expected_error(bits: int):
    found = minimize_scalar(lambda a: 2 * np.exp(-a) + a**2 / (3 * 4**bits), bounds=(0, 20), method="bounded",
                            options={"xatol": 1e-10})  # fmt: skip
    assert laplace_clip(2**bits) == pytest.approx(found.x, rel=1e-5)


@pytest.mark.parametrize("bits", BITS)
def test_gauss_minimizes_the_expected_error(bits: int):
    def error(clip: float) -> float:
        beyond, _ = quad(lambda x: (x - clip) ** 2 * norm.pdf(x), clip, clip + 12, epsabs=1e-14)
        return 2 * beyond + clip**2 / (3 * 4**bits)

    found = minimize_scalar(error, bounds=(0, 10), method="bounded", options={"xatol": 1e-9})
    assert gauss_clip(2**bits) == pytest.approx(found.x, rel=1e-4)


def test_published_values():
    np.testing.assert_allclose(
        [laplace_clip(2**bits) for bits in range(1, 9)], [1.86, 2.83, 3.90, 5.03, 6.20, 7.41, 8.65, 9.90], atol=0.005
    )
    np.testing.assert_allclose(
        [gauss_clip(2**bits) for bits in range(1, 9)], [1.24, 1.71, 2.15, 2.56, 2.94, 3.29, 3.62, 3.92], atol=0.01
    )


@pytest.mark.parametrize("axis", [None, 1], ids=["tensor", "rows"])
def test_moments(axis: int | None):
    values = np.random.default_rng(0).normal(1, 2, (5, 400))
    spread = Spread.of(values, axis)
    np.testing.assert_allclose(spread.mean, values.mean(axis))
    np.testing.assert_allclose(spread.sigma, values.std(axis))
    expected = np.abs(values - values.mean(axis, keepdims=True)).mean(axis)
    np.testing.assert_allclose(spread.deviation, expected)


@pytest.mark.parametrize("name", ["laplace", "gauss"])
def test_auto_knows_the_distribution(name: str):
    random = np.random.default_rng(1)
    values = getattr(random, name if name == "laplace" else "normal")(0, 3, (4, 20000))
    spread = Spread.of(values, 1)
    np.testing.assert_array_equal(
        optimal_clip(spread, 16, Distribution.AUTO), optimal_clip(spread, 16, Distribution(name))
    )
    scale = 3.0
    expected = scale * (laplace_clip(16) if name == "laplace" else gauss_clip(16))
    np.testing.assert_allclose(optimal_clip(spread, 16, Distribution.AUTO), expected, rtol=0.05)
