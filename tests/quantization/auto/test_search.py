"""The search on made-up errors and costs."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.quantization.auto.search import confirmed, last_good, path
from intbert.quantization.auto.units import Unit, weight_bytes

UNITS = (Unit("small", (("small", 8, 8),)), Unit("large", (("a", 8, 64), ("b", 8, 64))))


def test_the_cheapest_error_a_byte_goes_first():
    errors = {"small": {8: 0.0, 4: 1.0, 2: 4.0}, "large": {8: 0.0, 4: 1.0, 2: 64.0}}
    found = path(UNITS, errors, weight_bytes)
    assert [tuple(bits.values()) for bits in found] == [(8, 8), (8, 4), (4, 4), (2, 4), (2, 2)]


def test_bits_above_the_hull_are_skipped():
    """4 bits that lose nearly as much as 2 are not worth stopping at."""
    errors = {"small": {8: 0.0, 4: 3.0, 2: 3.1}, "large": {8: 0.0}}
    assert [bits["small"] for bits in path(UNITS, errors, weight_bytes)] == [8, 2]


def test_what_saves_nothing_is_not_taken():
    def latency(unit: Unit, bits: int) -> float:
        return {8: 1.0, 4: 1.5, 2: 0.5, 3: math.inf}[bits]

    errors = {"small": {8: 0.0, 4: 0.1, 3: 0.0, 2: 0.2}, "large": {8: 0.0, 4: 0.1, 3: 0.0, 2: 9.0}}
    found = path(UNITS, errors, latency)
    assert [tuple(bits.values()) for bits in found] == [(8, 8), (2, 8), (2, 2)]


def test_without_a_choice_there_is_one_configuration():
    assert path(UNITS, {"small": {8: 0.0}, "large": {8: 0.0}}, weight_bytes) == [{"small": 8, "large": 8}]


@given(st.lists(st.floats(0, 10), min_size=6, max_size=6))
def test_no_other_configuration_beats_one_of_the_path(drawn: list[float]):
    """On the path, error is the least for its size: what the hull promises."""
    errors = {
        unit.name: {8: 0.0, **dict(zip((4, 3, 2), itertools.accumulate(drawn[start : start + 3]), strict=True))}
        for unit, start in zip(UNITS, (0, 3), strict=True)
    }

    def totals(bits: dict[str, int]) -> tuple[float, float]:
        return (
            sum(weight_bytes(unit, bits[unit.name]) for unit in UNITS),
            sum(errors[unit.name][bits[unit.name]] for unit in UNITS),
        )

    everything = [totals(dict(zip(errors, bits, strict=True))) for bits in itertools.product((8, 4, 3, 2), repeat=2)]
    for bits in path(UNITS, errors, weight_bytes):
        size, error = totals(dict(bits))
        assert not any(other < size and worse < error - 1e-9 for other, worse in everything)


@given(st.integers(0, 40), st.integers(0, 40))
def test_last_good(count: int, good: int):
    tried: list[int] = []

    def is_good(index: int) -> bool:
        tried.append(index)
        return index < good

    assert last_good(count, is_good) == min(count, good) - 1
    assert len(tried) == len(set(tried)) <= count.bit_length()


@given(st.integers(1, 60), st.integers(0, 60), st.integers(-2, 70), st.integers(1, 12))
def test_confirmed_is_good_and_keeps_to_its_budget(count: int, good: int, start: int, budget: int):
    tried: list[int] = []

    def is_good(index: int) -> bool:
        assert 0 <= index < count
        tried.append(index)
        return index < good

    found = confirmed(count, start, is_good, budget)
    assert len(tried) == len(set(tried)) <= budget
    passed = [index for index in tried if index < good]
    assert found == max(passed, default=None)
    if good and budget >= 2:
        assert found is not None  # 8 bits everywhere are tried before giving up
    if budget == 12:
        assert found == (min(count, good) - 1 if good else None)


@pytest.mark.parametrize(("bits", "expected"), [(8, 1024), (4, 512), (3, 384), (2, 256)])
def test_bytes(bits: int, expected: int):
    assert weight_bytes(UNITS[1], bits) == expected
