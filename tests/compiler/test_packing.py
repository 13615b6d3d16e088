"""Packing: every code of every width, at its true size, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.compiler.linear_weights import common_packing
from intbert.compiler.packing import GROUP, Packing, padded
from intbert.errors import QuantizedModelError

from .packings import PACKINGS, draw_values, every_packing, levels


@every_packing
def test_there_and_back(packing: Packing) -> None:
    @given(st.integers(1, 70), st.integers(1, 3), st.integers(0, 2**32 - 1))
    def check(count: int, rows: int, seed: int) -> None:
        values = draw_values(packing, (rows, count), seed)
        packing.check(values)
        packed = packing.pack(values)
        assert packed.dtype == np.uint8
        assert packed.shape == (rows, padded(count) * packing.bits // 8)
        np.testing.assert_array_equal(packing.unpack(packed, count), values)

    check()


@every_packing
def test_planes(packing: Packing) -> None:
    """The format, bit by bit: value i + p * length has its field in bits w p to w p + w - 1 of byte i."""
    count = 5 * GROUP
    values = draw_values(packing, (count,), packing.bits)
    packed = packing.pack(values).astype(np.int64)
    codes = np.zeros(count, np.int64)
    start = shift = 0
    for width in (4, 2, 1):
        if packing.bits & width:
            length = count * width // 8
            for value in range(count):
                position, byte = divmod(value, length)
                codes[value] += (packed[start + byte] >> width * position & 2**width - 1) << shift
            start, shift = start + length, shift + width
    assert start == len(packed) == count * packing.bits // 8
    np.testing.assert_array_equal(codes * packing.step - packing.limit, values)


@every_packing
def test_levels(packing: Packing) -> None:
    assert len(levels(packing)) == 2**packing.bits - (0 if packing.mid_rise else 1)
    assert (0 in levels(packing)) == (not packing.mid_rise)
    for value in range(-127, 128):
        if value in levels(packing):
            packing.check(np.array([value], np.int8))
        else:
            with pytest.raises(QuantizedModelError, match=f"the weight {value} has no mid-.* code"):
                packing.check(np.array([value], np.int8))


@pytest.mark.parametrize(
    ("bits", "mid_rise", "message"),
    [(0, True, "1 to 7 bits, not 0"), (8, False, "1 to 7 bits, not 8"), (1, False, "must be mid-rise")],
)
def test_what_is_no_packing(bits: int, mid_rise: bool, message: str) -> None:
    with pytest.raises(QuantizedModelError, match=message):
        Packing(bits, mid_rise)


def test_bytes_that_do_not_fit() -> None:
    with pytest.raises(QuantizedModelError, match="16 weights of 3 bits take 6 bytes, there are 5"):
        Packing(3).unpack(np.zeros(5, np.uint8), 16)
    with pytest.raises(QuantizedModelError, match="int8 in memory, not int16"):
        Packing(3).check(np.zeros(5, np.int16))


@given(st.lists(st.sampled_from(PACKINGS), min_size=1, max_size=3))
def test_common_packing_holds_all(packings: list[Packing]) -> None:
    common = common_packing(packings)
    together = np.concatenate([levels(packing) for packing in packings])
    if common is not None:
        common.check(together.astype(np.int8))
    smaller = [packing for packing in PACKINGS if common is None or packing.bits < common.bits]
    for packing in smaller:
        assert not set(together) <= set(levels(packing))


def test_common_packing_of_equals_and_of_int8() -> None:
    assert common_packing([Packing(3), Packing(3)]) == Packing(3)
    assert common_packing([Packing(1, True), Packing(2)]) == Packing(2)
    assert common_packing([Packing(3), None]) is None
    assert common_packing([None, None]) is None
