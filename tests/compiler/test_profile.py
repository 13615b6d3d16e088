"""A profile as data: what must hold of it, its JSON, and operators that layers have in common."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from intbert.compiler.profile import (
    GpuPeak,
    OperatorTime,
    Profile,
    ProfileRequest,
    ThreadPeak,
    across_layers,
    slowest_first,
)
from intbert.errors import InputError

OPERATORS = (
    OperatorTime("layers.1.attention", "attention", "vnni", 1, 3.0),
    OperatorTime("layers.0.attention", "attention", "vnni", 1, 2.0),
    OperatorTime("layers.0.output", "linear1", "vnni", 1, 1.5),
    OperatorTime("layers.1.output", "linear2", "plain", 1, 1.0),
    OperatorTime("layers", "tanh", None, 1, 0.25),
)
PROFILE = Profile(OPERATORS, 20, 12.0, 2.0, 9.5, length=16, batch=1, threads=2, runs=7)

COSTED = replace(
    PROFILE,
    operators=(
        OperatorTime("layers.0.output", "linear", "dotprod", 1, 3.0, 6_000_000, 1_500_000),
        OperatorTime("layers.0.norm", "layer_norm", "rows", 1, 1.0, 0, 1_000_000),
    ),
    peak=ThreadPeak("sdot", 4.0),
)
ON_GPU = replace(COSTED, peak=GpuPeak("mma.sync.m16n8k32", 16.0, 5.0, 918.0, ("power cap",)))


def test_operators_and_what_is_outside_them_are_the_total() -> None:
    assert PROFILE.total_ms == 10.0
    assert PROFILE.outside_ms == 10.0 - 7.75
    assert sum(PROFILE.share(o.ms) for o in OPERATORS) + PROFILE.share(PROFILE.outside_ms) == pytest.approx(1)


def test_json_and_back() -> None:
    document = json.loads(json.dumps(PROFILE.to_json()))
    assert Profile.from_json(document) == PROFILE
    assert document["total_ms"] == 10.0
    assert document["operators"][0]["share"] == 0.3
    for profile in (COSTED, ON_GPU, replace(ON_GPU, peak=GpuPeak("dp4a", 1.0, 2.0))):
        assert Profile.from_json(json.loads(json.dumps(profile.to_json()))) == profile


def test_rates() -> None:
    """A MAC a nanosecond is a GMAC/s; all threads together have as many peaks."""
    document = COSTED.to_json()
    assert document["peak"] == {"instruction": "sdot", "gmacs": 4.0, "all_threads_gmacs": 8.0}
    rates = ("gmacs_per_s", "share_of_peak", "gbytes_per_s")
    assert [document["operators"][0][name] for name in rates] == [2.0, 0.25, 0.5]
    assert [document["operators"][1][name] for name in rates] == [None, None, 1.0]
    assert (document["macs"], document["bytes"]) == (6_000_000, 2_500_000)
    assert [document[name] for name in rates] == [0.6, 0.075, 0.25]


def test_rates_on_a_gpu() -> None:
    """Its peak is of the whole GPU, whatever threads the CPU has."""
    document = ON_GPU.to_json()
    assert [document["operators"][0][name] for name in ("share_of_peak", "share_of_bandwidth")] == [0.125, 0.1]
    assert [document["operators"][1][name] for name in ("share_of_peak", "share_of_bandwidth")] == [None, 0.2]
    assert (document["peak"]["gbytes"], document["peak"]["throttled"]) == (5.0, ("power cap",))


def test_what_older_artifacts_do_not_tell() -> None:
    document = PROFILE.to_json()
    names = ("macs", "bytes", "gmacs_per_s", "share_of_peak", "gbytes_per_s", "share_of_bandwidth", "peak")
    assert [document[name] for name in names] == [None] * 7
    assert document["operators"][0]["gmacs_per_s"] is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"instrumented_ms": 7.0}, id="operators-longer-than-the-inference"),
        pytest.param({"instrumentation_ms": 12.0}, id="nothing-left"),
        pytest.param({"steps": 4}, id="more-calls-than-steps"),
    ],
)
def test_a_profile_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"operators|instrumentation"):
        replace(PROFILE, **change)


def test_layers_are_added_up() -> None:
    """But not what they do differently: another kernel or strategy is another entry."""
    assert across_layers(OPERATORS) == (
        OperatorTime("layers.*.attention", "attention", "vnni", 2, 5.0),
        OperatorTime("layers.*.output", "linear1", "vnni", 1, 1.5),
        OperatorTime("layers.*.output", "linear2", "plain", 1, 1.0),
        OperatorTime("layers", "tanh", None, 1, 0.25),
    )


def test_costs_are_added_up_where_they_are_known() -> None:
    known = [OperatorTime(f"layers.{i}.output", "linear", "dotprod", 1, 1.0, 5, 7) for i in range(2)]
    assert across_layers(known) == (OperatorTime("layers.*.output", "linear", "dotprod", 2, 2.0, 10, 14),)
    unknown = replace(known[0], macs=None, bytes=None)
    assert across_layers([known[0], unknown]) == (OperatorTime("layers.*.output", "linear", "dotprod", 2, 2.0),)


def test_a_peak_of_nothing() -> None:
    with pytest.raises(ValueError, match="a peak of"):
        ThreadPeak("sdot", 0.0)
    with pytest.raises(ValueError, match="a peak of"):
        GpuPeak("dp4a", 1.0, 0.0)


def test_slowest_first() -> None:
    assert slowest_first(reversed(OPERATORS)) == OPERATORS


@pytest.mark.parametrize("change", [{"length": 0}, {"batch": 0}, {"runs": 0}], ids=str)
def test_requests_of_nothing(change: dict[str, int]) -> None:
    (name,) = change
    with pytest.raises(InputError, match=f"{name} is 0; it must be at least 1"):
        ProfileRequest(**change)
