"""A record that makes no sense cannot be made."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from intbert.errors import TuningLogError
from intbert.schedules.tuning_log import Conditions, Device, Filter, Versions, Workload
from intbert.schedules.tuning_log.record import LONGEST_ERROR

from .samples import START, failed, record


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": "1"}, "id is '1'; expected 32 hexadecimal digits"),
        ({"strategy": ""}, "strategy is ''; expected text"),
        ({"strategy": "x" * 501}, "at most 500 characters"),
        ({"strategy": 1}, "strategy is 1; expected text"),
        ({"trace": "\0"}, "which has characters that no database takes"),
        ({"trace": "\ud800"}, "which has characters that no database takes"),
        ({"checked_by": ""}, "checked_by is ''"),
        ({"source": "guessed"}, "source is 'guessed'; expected one of measured, estimated"),
        ({"threads": 0}, "threads is 0; expected a number from 1 on"),
        ({"threads": True}, "threads is True"),
        ({"threads": 2**31}, "threads is 2147483648"),
        ({"features": frozenset({"no spaces"})}, "feature of the record is 'no spaces'"),
        ({"features": frozenset({1})}, "feature of the record is 1"),
        ({"seconds": (0.0,)}, "a sample of the record is 0.0; expected seconds, above 0"),
        ({"seconds": (float("nan"),)}, "a sample of the record is nan; expected a number"),
        ({"seconds": (float("inf"),)}, "a sample of the record is inf"),
        ({"seconds": (10**400,)}, "a sample of the record is 1000"),
        ({"seconds": ("1",)}, "a sample of the record is '1'"),
        ({"seconds": ()}, "either seconds or an error"),
        ({"error": "why"}, "either seconds or an error"),
        ({"tuned_at": datetime(2030, 1, 1)}, "expected a time with a time zone"),
        ({"tuned_at": "2030"}, "tuned_at is '2030'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_invalid_records(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(TuningLogError) as caught:
        record(**{"seconds": (1e-3,), **changed})
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Workload("XYZ", "{}", "linear", "1"), "the workload's hash is 'XYZ'"),
        (lambda: Workload("ab", "", "linear", "1"), "the workload's ir is ''"),
        (lambda: Workload("ab", "{}", "", "1"), "the workload's operator is ''"),
        (lambda: Device("", "m", "c", 1), "the device's name is ''"),
        (lambda: Device("n", "m", "c", 0), "the device's cores is 0"),
        (lambda: Versions("", "1", "1", "1"), "the version of tvm is ''"),
        (lambda: Conditions(clock_hz=float("nan")), "the conditions' clock_hz is nan"),
        (lambda: Conditions(temperature_celsius=True), "the conditions' temperature_celsius is True"),
        (lambda: Conditions(throttled=1), "the conditions' throttled is 1"),  # pyright: ignore[reportArgumentType]
        (lambda: Filter(outcome="good"), "there are usable, failed, unchecked, throttled"),
        (lambda: Filter(since=datetime(2030, 1, 1)), "has no time zone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_parts(make: Any, reason: str) -> None:
    with pytest.raises(TuningLogError) as caught:
        make()
    assert reason in str(caught.value)


def test_the_error_is_made_storable() -> None:
    """The tuner must not fail because a compiler's last words are odd."""
    assert failed("a\0b\ud800").error == "a?b?"
    assert failed("").error == "unknown"
    assert len(failed("x" * 10_000).error or "") == LONGEST_ERROR


def test_times_are_kept_in_utc() -> None:
    kept = record(tuned_at=START.astimezone(timezone(timedelta(hours=5))))
    assert (kept.tuned_at, kept.tuned_at.tzinfo) == (START, timezone.utc)


def test_what_is_usable() -> None:
    assert record().usable
    assert record(conditions=Conditions()).usable
    assert record(source="estimated").usable
    assert not record(checked_by=None).usable
    assert not record(conditions=Conditions(throttled=True)).usable
    assert not failed().usable
    assert record((3.0, 1.0, 2.0, 9.0)).median_seconds == 2.5
    assert failed().median_seconds is None
