"""When measuring ends, and what counts, with a board that answers as told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from intbert.errors import InputError, RemoteError
from intbert.rpc.benchmark import Measurement, Plan, Sample, run
from intbert.rpc.benchmark.runner import run_in_turns, wait_until_cool


@dataclass
class Board:
    """Takes ``pattern`` for the milliseconds, again and again; ``throttled`` says of each sample why, if it is."""

    pattern: list[float]
    throttled: Callable[[int], tuple[str, ...] | None] = lambda index: ()
    temperatures: list[float | None] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    load_ms: float = 7.0
    where: str = "pi"

    def conditions(self) -> dict[str, Any]:
        return {"temperature_c": self.temperatures.pop(0) if len(self.temperatures) > 1 else self.temperatures[0]}

    def measure(self, length: int | None, batch: int, count: int, seconds: float) -> dict[str, Any]:
        start = sum(self.calls)
        self.calls.append(count)
        samples = [self._sample(index) for index in range(start, start + count)]
        return {"samples": samples, "length": length or 128, "threads": 2, "peak_rss_mb": 50.0}

    def _sample(self, index: int) -> dict[str, Any]:
        reasons = self.throttled(index)
        return {
            "ms": self.pattern[index % len(self.pattern)],
            "clock_mhz": 1500.0,
            "temperature_c": 50.0 + index,
            "throttled": None if reasons is None else list(reasons),
            "power_w": None,
            "memory_clock_mhz": 3199.0 + index,
        }


def measured(board: Board, plan: Plan) -> Measurement:
    return run(board, plan, lambda message: None)


def test_steady_samples_are_enough_at_once() -> None:
    result = measured(Board([5.0]), Plan(warmup=0, least_runs=30))
    assert len(result.samples) == 30
    assert result.stopped == "the median is known to the wanted precision"
    assert result.summary.p50_ms == 5.0


def test_noisy_samples_are_taken_until_they_suffice() -> None:
    noisy = measured(Board([4.0, 5.0, 6.0, 4.5, 5.5]), Plan(warmup=0, precision=0.05, most_runs=10_000))
    assert 30 < len(noisy.samples) < 10_000
    assert noisy.summary.precision <= 0.05


def test_the_limit_on_runs() -> None:
    result = measured(Board([1.0, 9.0]), Plan(warmup=0, precision=0.001, least_runs=30, most_runs=77))
    assert len(result.samples) == 77
    assert result.stopped == "the limit on runs was reached"


def test_the_limit_on_time() -> None:
    result = measured(Board([1.0, 9.0]), Plan(warmup=0, precision=0.001, most_runs=10**9, seconds=0.01))
    assert result.stopped == "the limit on time was reached"


def test_warming_up_is_no_sample() -> None:
    board = Board([100.0] * 10 + [5.0] * 10_000)
    result = measured(board, Plan(warmup=10))
    assert board.calls[0] == 10
    assert {sample.ms for sample in result.samples} == {5.0}


def test_models_take_turns_until_it_is_enough_for_all() -> None:
    steady, noisy = Board([5.0]), Board([1.0, 9.0])
    first, second = run_in_turns([steady, noisy], Plan(warmup=0, precision=0.001, most_runs=77), lambda message: None)
    assert steady.calls == noisy.calls == [30, 30, 17]
    assert (first.summary.p50_ms, len(first.samples)) == (5.0, 77)
    assert first.stopped == "the median is known to the wanted precision"
    assert second.stopped == "the limit on runs was reached"


def test_throttled_samples_do_not_count_and_do_not_suffice() -> None:
    board = Board([5.0] * 40 + [50.0] * 40, lambda index: ("thermal cap",) if index % 80 >= 40 else ())
    result = measured(board, Plan(warmup=0, least_runs=60))
    assert result.summary.p99_ms == 5.0
    assert len(result.trusted) >= 60
    document = result.to_json()
    assert document["throttled_runs"] == len(result.throttled) > 0
    assert document["throttle_reasons"] == ["thermal cap"]


def test_when_all_are_throttled_they_are_shown_and_said_to_be() -> None:
    result = measured(Board([5.0], lambda index: ("under-voltage",)), Plan(warmup=0, least_runs=5, most_runs=20))
    document = result.to_json()
    assert result.stopped == "the limit on runs was reached"
    assert document["p50_ms"] == 5.0
    assert document["throttled_runs"] == 20


def test_a_board_that_cannot_tell() -> None:
    document = measured(Board([5.0], lambda index: None), Plan(warmup=0)).to_json()
    assert document["throttled_runs"] is None
    assert document["throttle_reasons"] is None
    assert document["power_w"] is None
    assert document["clock_mhz"] == [1500.0, 1500.0, 1500.0]
    assert document["memory_clock_mhz"] == [3199.0, 3213.5, 3228.0]
    assert document["temperature_c"] == [50.0, 64.5, 79.0]


def test_a_cool_board_is_not_waited_for() -> None:
    board = Board([5.0], temperatures=[40.0])
    assert len(measured(board, Plan(warmup=0, cool_below=50.0)).samples) == 30


def test_a_board_without_a_sensor_cannot_be_waited_for() -> None:
    with pytest.raises(RemoteError, match="pi has no temperature sensor to wait for"):
        wait_until_cool(Board([5.0], temperatures=[None]), 50.0, 1.0, lambda message: None)


@pytest.mark.parametrize(
    "fields",
    [
        {"length": 0},
        {"batch": 0},
        {"threads": 0},
        {"warmup": -1},
        {"least_runs": 31, "most_runs": 30},
        {"precision": 0.0},
        {"seconds": 0.0},
        {"precision": float("nan")},
        {"cool_seconds": -1.0},
    ],
    ids=lambda fields: ",".join(f"{name}={value}" for name, value in fields.items()),
)
def test_plans_that_make_no_sense(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Plan(**fields)


def test_a_sample_keeps_what_the_board_said() -> None:
    document = {"ms": 1.0, "clock_mhz": None, "temperature_c": 61.0, "throttled": ["x"], "power_w": 2.5}
    told = {**document, "throttle_events": 3, "memory_clock_mhz": 204.0}
    assert Sample.from_json(told) == Sample(1.0, None, 61.0, ("x",), 2.5, 204.0)
