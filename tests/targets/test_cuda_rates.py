"""What multiplies on each chip, against the numbers of the makers' data sheets."""

from __future__ import annotations

import pytest
from intbert.targets.cuda import ARCHITECTURES, Cuda
from intbert.targets.cuda_rates import Multiplier, int8_multiplier, macs_per_cycle, peak_gmacs


@pytest.mark.parametrize(
    ("gpu", "multiplier", "tera_operations"),
    [
        pytest.param(Cuda(75, 40, 1590, 320), Multiplier.IMMA, 130, id="t4-int8"),
        # 100 sparse TOPS, of which the two DLAs have 40: 30 dense ones of the GPU.
        pytest.param(Cuda(87, 8, 918, 102.4), Multiplier.IMMA, 30, id="orin-nx-int8"),
        pytest.param(Cuda(75, 40, 1590, 320), Multiplier.IMMA_S4, 260, id="t4-int4"),
        pytest.param(Cuda(80, 108, 1410, 1555), Multiplier.IMMA_S4, 1248, id="a100-int4"),
        pytest.param(Cuda(80, 108, 1410, 1555), Multiplier.BMMA, 4992, id="a100-binary"),
        pytest.param(Cuda(72, 80, 1530, 900), Multiplier.DP4A, 62.8, id="v100-dp4a"),
        pytest.param(Cuda(80, 108, 1410, 1555), Multiplier.FLOAT32, 19.5 / 2, id="a100-unfused-float32"),
        pytest.param(Cuda(86, 82, 1695, 936), Multiplier.FLOAT32, 35.6 / 2, id="rtx3090-unfused-float32"),
        pytest.param(Cuda(87, 16, 1300, 204.8), Multiplier.FLOAT32, 5.3 / 2, id="orin-unfused-float32"),
    ],
)
def test_the_makers_numbers(gpu: Cuda, multiplier: Multiplier, tera_operations: float):
    peak = peak_gmacs(gpu, multiplier)
    assert peak is not None
    assert 2 * peak / 1e3 == pytest.approx(tera_operations, rel=0.02)


@pytest.mark.parametrize(
    ("sm", "multiplier"),
    [
        (53, Multiplier.DP4A),
        (53, Multiplier.IMMA),
        (62, Multiplier.IMMA),
        (72, Multiplier.IMMA_S4),
        (90, Multiplier.IMMA_S4),
        (110, Multiplier.BMMA),
    ],
)
def test_what_a_chip_lacks(sm: int, multiplier: Multiplier):
    gpu = Cuda(sm, 1, 1000, 1)
    assert macs_per_cycle(gpu, multiplier) is None
    assert peak_gmacs(gpu, multiplier) is None


@pytest.mark.parametrize("sm", ARCHITECTURES)
def test_the_best_for_bytes(sm: int):
    expected = Multiplier.IMMA if sm >= 72 else Multiplier.DP4A if sm >= 61 else Multiplier.INT32
    assert int8_multiplier(Cuda(sm, 1, 1000, 1)) is expected
