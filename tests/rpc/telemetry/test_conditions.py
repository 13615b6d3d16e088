"""What two readings say about the time between them."""

from __future__ import annotations

import math

import pytest
from intbert.rpc.telemetry import Conditions, was_throttled


def reading(reasons: tuple[str, ...] | None, events: int | None) -> Conditions:
    return Conditions(clock_mhz=1500.0, temperature_c=50.0, throttled=reasons, throttle_events=events, power_w=None)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(reading((), None), reading((), None), (), id="nothing"),
        pytest.param(reading((), 2), reading((), 2), (), id="nothing-new"),
        pytest.param(reading(("a",), None), reading((), None), ("a",), id="before"),
        pytest.param(reading((), None), reading(("a",), None), ("a",), id="after"),
        pytest.param(reading(("a", "b"), None), reading(("b", "c"), None), ("a", "b", "c"), id="each-once"),
        pytest.param(reading((), 2), reading((), 3), ("throttle event",), id="counter"),
        pytest.param(reading(("a",), 2), reading((), 3), ("a", "throttle event"), id="both"),
        pytest.param(reading((), 3), reading((), 0), (), id="counter-that-was-cleared"),
        pytest.param(reading(None, 2), reading(None, 2), (), id="counter-only"),
        pytest.param(reading(None, 2), reading(None, 4), ("throttle event",), id="counter-only-rises"),
        pytest.param(reading(None, None), reading(("a",), None), ("a",), id="known-once"),
        pytest.param(reading(None, None), reading(None, None), None, id="unknown"),
        pytest.param(reading(None, 2), reading(None, None), None, id="counter-once"),
    ],
)
def test_was_throttled(before: Conditions, after: Conditions, expected: tuple[str, ...] | None) -> None:
    assert was_throttled(before, after) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clock_mhz", 0.0),
        ("memory_clock_mhz", -1.0),
        ("clock_mhz", math.inf),
        ("temperature_c", math.nan),
        ("power_w", math.inf),
        ("throttle_events", -1),
    ],
)
def test_numbers_that_no_sensor_gives(name: str, value: float) -> None:
    values: dict[str, float | None] = dict.fromkeys(
        ("clock_mhz", "temperature_c", "throttled", "throttle_events", "power_w")
    )
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        Conditions(**{**values, name: value})  # pyright: ignore[reportArgumentType] - built from a table
