"""Every packing there is, and weights that fit them."""

from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler.packing import Packing
from numpy.typing import NDArray

from .operators.compiled import HOST, PROCESSORS

PACKINGS = [Packing(bits, mid_rise) for bits in range(1, 8) for mid_rise in (False, True) if mid_rise or bits > 1]
every_packing = pytest.mark.parametrize(
    "packing", PACKINGS, ids=lambda packing: f"{packing.bits}{'-rise' if packing.mid_rise else '-tread'}"
)

FIELDS = (Packing(1, True), Packing(3), Packing(7, True))
"""One, two and three planes: enough to tell apart how processors unpack."""
on_some_processors = pytest.mark.parametrize(
    ("processor", "packing"),
    [
        pytest.param(*parameter.values, packing, marks=parameter.marks, id=f"{parameter.id}-{packing.bits}-{grid}")
        for parameter in PROCESSORS
        for packing, grid in ((packing, "rise" if packing.mid_rise else "tread") for packing in PACKINGS)
        if parameter.values[0] == HOST or packing in FIELDS
    ],
)
"""Every packing on this machine, some on lesser ones."""


def levels(packing: Packing) -> NDArray[np.int64]:
    """Every value that ``packing`` has."""
    return np.arange(-packing.limit, packing.limit + 1, packing.step, dtype=np.int64)


def draw_values(packing: Packing, shape: tuple[int, ...], seed: int) -> NDArray[np.int8]:
    """Random weights; the first two rows hold the largest and the smallest."""
    values = np.random.default_rng(seed).choice(levels(packing), shape).astype(np.int8)
    values[:1], values[1:2] = packing.limit, -packing.limit
    return values
