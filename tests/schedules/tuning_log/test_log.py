"""What is written to a log comes back, and look-ups find what they promise."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from statistics import median
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intbert.errors import TuningLogError
from intbert.schedules.tuning_log import Conditions, Device, Filter, Record, Versions, Workload, open_log
from intbert.schedules.tuning_log.log import Added, TuningLog

from .samples import PI, START, TVM, VERSIONS, failed, record, workload

HASH = workload().hash
MINE = {"features": {"neon", "dotprod"}, "tvm": TVM, "threads": 1}
"""What the caller of a look-up has, where a test does not care."""


def test_a_record_comes_back_as_it_was(log: TuningLog) -> None:
    kept = [record((1.1e-3, math.pi * 1e-3, 5e-324)), failed("wrong bytes"), record(conditions=Conditions())]
    for each in kept:
        log.add(each)
    assert sorted(log.records(), key=lambda r: r.id) == sorted(kept, key=lambda r: r.id)


@pytest.mark.usefixtures("log")
def test_it_is_there_when_the_log_is_opened_again(log: TuningLog, url: str) -> None:
    kept = record()
    log.add(kept)
    with open_log(url, read_only=True) as other:
        assert list(other.records()) == [kept]


def test_adding_again_changes_nothing(log: TuningLog) -> None:
    first = record(1e-3)
    assert log.add_many([first, first, record(2e-3)]) == Added(2, 1)
    log.add(first)
    log.add(record(9.0, id=first.id))  # a record never changes
    assert log.count() == 2
    assert log.find(first.id) == first


def test_a_workload_keeps_its_first_words(log: TuningLog) -> None:
    log.add(record(at=0))
    log.add(record(at=1, workload=Workload(HASH, "{}", "other", "words")))
    assert {each.workload for each in log.records()} == {workload()}
    assert log.workloads() == [workload()]
    assert log.workloads("other") == []


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        (record(1e-6, checked_by=None), "unchecked"),
        (record(1e-6, conditions=Conditions(throttled=True)), "throttled"),
        (failed(), "failed"),
        (record(1e-6, source="estimated"), "estimated"),
        (record(1e-6, features=frozenset({"neon", "sve"})), "more features"),
        (record(1e-6, threads=4), "other threads"),
        (record(1e-6, versions=Versions("0.28", "1", "1", "1")), "other tvm"),
        (record(1e-6, workload=workload(1)), "other workload"),
        (record(2e-3), "slower"),
        (record((1e-6, 1e-6, 3e-3, 3e-3, 3e-3)), "slower by the median"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_best_is_not_one_that_is(log: TuningLog, worse: Record, reason: str) -> None:
    good = record(1e-3)
    log.add_many([worse, good])
    assert log.best([HASH], **MINE) == {HASH: good}
    assert log.top(HASH, 1, **MINE) == [good]


@pytest.mark.parametrize(
    "better",
    [
        record(1e-4, features=frozenset()),
        record(1e-4, features=frozenset({"neon", "dotprod"})),
        record(1e-4, target="another", device=Device("other", "m", "c", 1), strategy="other"),
        record(1e-4, versions=Versions(TVM, "0", "0", "another space")),
        record(1e-4, conditions=Conditions(throttled=None)),
    ],
    ids=["fewer-features", "all-features", "elsewhere", "another-space", "does-not-say"],
)
def test_the_best_may_come_from_elsewhere(log: TuningLog, better: Record) -> None:
    log.add_many([record(1e-3), better])
    assert log.best([HASH], **MINE) == {HASH: better}


def test_an_estimate_is_better_than_nothing(log: TuningLog) -> None:
    guesses = [record(2e-3, source="estimated"), record(1e-3, source="estimated")]
    log.add_many(guesses)
    assert log.best([HASH], **MINE)[HASH] == guesses[1]
    measured = record(5e-3)
    log.add(measured)
    assert log.top(HASH, 9, **MINE) == [measured, guesses[1], guesses[0]]


def test_many_workloads_at_once(log: TuningLog) -> None:
    fast = {number: record(1e-3, workload=workload(number)) for number in range(0, 1200, 2)}
    log.add_many(fast.values())
    log.add_many(record(2e-3, workload=workload(number)) for number in fast)
    found = log.best([workload(number).hash for number in range(1200)], **MINE)
    assert found == {workload(number).hash: each for number, each in fast.items()}


def test_equals_are_told_apart_by_their_ids(log: TuningLog) -> None:
    """So that a log, its copies and what they were merged into all choose the same one."""
    equals = [record(1e-3) for _ in range(5)]
    log.add_many(equals)
    assert log.best([HASH], **MINE)[HASH].id == min(each.id for each in equals)


def test_nothing_is_found_in_an_empty_log(log: TuningLog) -> None:
    assert log.best([HASH], **MINE) == {}
    assert log.best([], **MINE) == {}
    assert log.top(HASH, 3, **MINE) == log.near(workload(), **MINE) == list(log.records()) == log.bests() == []
    assert log.thread_counts([HASH], features=[], tvm=TVM) == {}
    assert log.model("key") is None
    summary = log.summary()
    assert (summary.records, summary.oldest, summary.newest, summary.outcomes) == (0, None, None, {})


def drawn(seconds: list[float], **fields: Any) -> Record:
    return record(tuple(seconds), **fields) if seconds else failed(**fields)


DRAWS = st.builds(
    drawn,
    seconds=st.lists(st.sampled_from([1e-3, 2e-3, 3e-3]), max_size=3),
    workload=st.sampled_from([workload(0), workload(1)]),
    features=st.sampled_from([frozenset(), frozenset({"neon"}), frozenset({"neon", "dotprod"})]),
    threads=st.sampled_from([1, 4]),
    source=st.sampled_from(["measured", "estimated"]),
    conditions=st.sampled_from([Conditions(), Conditions(throttled=True)]),
    versions=st.sampled_from([VERSIONS, Versions("0.28", "1", "1", "1")]),
    target=st.sampled_from(["a", "b"]),
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(DRAWS, max_size=30), features=st.sampled_from([set(), {"neon"}, {"neon", "dotprod"}]))
def test_the_best_are_those_of_the_definition(
    new_url: Callable[[], str], records: list[Record], features: set[str]
) -> None:
    """Compared with the definition, written in Python."""
    suitable = [r for r in records if r.usable and r.features <= features and r.versions.tvm == TVM and r.threads == 1]
    ranked = sorted(suitable, key=lambda r: (r.source == "estimated", median(r.seconds), r.id))
    with open_log(new_url()) as log:
        log.add_many(records)
        hashes = [workload(0).hash, workload(1).hash]
        best = log.best(hashes, features=features, tvm=TVM, threads=1)
        for hash in hashes:
            own = [r for r in ranked if r.workload.hash == hash]
            assert log.top(hash, 100, features=features, tvm=TVM, threads=1) == own
            assert best.get(hash) == (own[0] if own else None)
        counts = log.thread_counts(hashes, features=features, tvm=TVM)
        assert counts.get(1, 0) == len(suitable)
        assert list(log.records()) == sorted(records, key=lambda r: (r.tuned_at, r.id))


def test_near_are_other_features_then_other_shapes(log: TuningLog) -> None:
    mine, wider = record(1e-3), record(5e-4, features=frozenset({"neon", "sve"}))
    later = [record(9e-3, at=2, workload=workload(1)), record(2e-3, at=1, workload=workload(1))]
    latest = record(3e-3, at=3, workload=workload(2))
    stranger = record(1e-3, at=4, workload=workload(3, "attention"))
    log.add_many([mine, wider, *later, latest, stranger, failed(at=5, workload=workload(4))])
    assert log.near(workload(), **MINE) == [wider, latest, later[1]]
    assert log.near(workload(), **MINE, limit=2) == [wider, latest]
    assert log.near(workload(9), **MINE) == [latest, later[1], wider]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (Filter(), [0, 1, 2, 3, 4]),
        (Filter(operator="attention"), [1]),
        (Filter(workload="0000000000000001"), [1]),
        (Filter(workload="00"), [0, 1, 2, 3, 4]),
        (Filter(workload="%"), []),
        (Filter(strategy="plain"), [2]),
        (Filter(target="host"), [3]),
        (Filter(device="nano"), [4]),
        (Filter(tvm="0.28"), [4]),
        (Filter(outcome="usable"), [2, 4]),
        (Filter(outcome="failed"), [0]),
        (Filter(outcome="unchecked"), [1]),
        (Filter(outcome="throttled"), [3]),
        (Filter(since=START + timedelta(seconds=3)), [3, 4]),
        (Filter(since=(START + timedelta(seconds=3)).astimezone(timezone(timedelta(hours=5)))), [3, 4]),
        (Filter(operator="linear", outcome="usable", device="pi"), [2]),
        (Filter(operator="' OR 1=1 --"), []),
    ],
    ids=str,
)
def test_filters(log: TuningLog, filter: Filter, expected: list[int]) -> None:
    kept = [
        failed(at=0),
        record(at=1, workload=workload(1, "attention"), checked_by=None),
        record(at=2, strategy="plain"),
        record(at=3, target="host", conditions=Conditions(throttled=True)),
        record(at=4, device=Device("nano", "m", "c", 4), versions=Versions("0.28", "1", "1", "1")),
    ]
    log.add_many(reversed(kept))
    assert list(log.records(filter)) == [kept[index] for index in expected]
    assert log.count(filter) == len(expected)
    assert list(log.records(filter, last=2)) == [kept[index] for index in expected[-2:]]


def test_a_log_can_be_written_while_it_is_read(log: TuningLog) -> None:
    log.add_many(record(at=at) for at in range(2000))
    seen = 0
    for each in log.records():
        if seen % 500 == 0:
            log.add(record(at=10**6, workload=workload(seen)))
        assert each.tuned_at < START + timedelta(seconds=10**6)
        seen += 1
    assert seen == 2000
    assert log.count() == 2004


def test_a_stream_may_be_left_early(log: TuningLog) -> None:
    log.add_many(record(at=at) for at in range(3000))
    for _ in range(20):  # more often than there are connections
        assert next(iter(log.records())).tuned_at == START


def test_the_best_of_each_group(log: TuningLog) -> None:
    one, four = record(2e-3), record(1e-3, threads=4)
    wide = record(1e-3, features=frozenset({"neon", "dotprod"}))
    log.add_many([one, four, wide, record(3e-3), record(9e-3, threads=4), record(8e-3, features=wide.features)])
    assert log.bests() == [wide, one, four]
    assert log.bests(Filter(tvm="0.28")) == []


def test_a_cost_model_is_replaced(log: TuningLog, url: str) -> None:
    log.keep_model("linear", b"\0one")
    log.keep_model("linear", bytes(range(256)))
    with open_log(url, read_only=True) as other:
        assert other.model("linear") == bytes(range(256))
        assert other.model("other") is None
        assert other.summary().cost_models == {"linear": 256}
    with pytest.raises(TuningLogError, match="1 to 200 characters"):
        log.keep_model("k" * 201, b"")


def test_the_summary_counts(log: TuningLog) -> None:
    log.add_many(
        [record(at=5), failed(at=1), record(at=9, workload=workload(1, "gelu"), target="host", checked_by=None)]
    )
    summary = log.summary()
    assert (summary.records, summary.workloads) == (3, 2)
    assert summary.outcomes == {"failed": 1, "unchecked": 1, "usable": 1}
    assert summary.operators == {"gelu": 1, "linear": 2}
    assert summary.targets == {"host": 1, "rpi4": 2}
    assert (summary.devices, summary.tvm) == ({"pi": 3}, {TVM: 3})
    assert (summary.oldest, summary.newest) == (START + timedelta(seconds=1), START + timedelta(seconds=9))


def test_pruning_keeps_the_best_of_each_group(log: TuningLog) -> None:
    fast, slow, slowest = record(1e-3), record(2e-3), record(3e-3)
    others = [
        record(9e-3, threads=4),
        record(9e-3, features=frozenset()),
        record(9e-3, device=Device("nano", "m", "c", 4)),
        record(9e-3, versions=Versions("0.28", "1", "1", "1")),
        record(9e-3, workload=workload(1, "gelu"), checked_by=None),
    ]
    unchecked = record(1e-6, checked_by=None)  # fast, but behind everything usable
    log.add_many([fast, slow, slowest, *others, unchecked, failed(), failed(workload=workload(1, "gelu"))])
    plan = log.prune(keep=2)
    assert log.count() == 11
    assert plan.by_operator == {"gelu": 1, "linear": 3}
    assert plan.by_outcome == {"failed": 2, "unchecked": 1, "usable": 1}
    late = failed(at=1)
    log.add(late)  # after the plan was shown: not deleted
    assert log.apply(plan) == 4
    assert log.apply(plan) == 0
    assert {each.id for each in log.records()} == {each.id for each in (fast, slow, *others, late)}
    with pytest.raises(TuningLogError, match="keep at least 1"):
        log.prune(0)


def test_merging(log: TuningLog, new_url: Callable[[], str]) -> None:
    ours, both, theirs = record(at=1), record(at=2), record(at=3, workload=workload(1))
    log.add_many([ours, both])
    log.keep_model("linear", b"ours")
    with open_log(new_url()) as other:
        other.add_many([both, theirs])
        other.keep_model("linear", b"theirs")
        other.keep_model("gelu", b"theirs")
        assert log.merge(other) == Added(1, 1)
        assert log.merge(other) == Added(0, 2)
    assert list(log.records()) == [ours, both, theirs]
    assert (log.model("linear"), log.model("gelu")) == (b"ours", b"theirs")


def test_finding_by_the_beginning_of_an_id(log: TuningLog) -> None:
    one, other = record(id="ab" + "0" * 30), record(id="ac" + "0" * 30)
    log.add_many([one, other])
    assert log.find("ab") == one
    for beginning, reason in (("a", "several"), ("b", "no record"), ("", "give the id"), ("%", "no record")):
        with pytest.raises(TuningLogError, match=reason):
            log.find(beginning)


@pytest.mark.parametrize("text", ["ü 漢 🙂", "'; DROP TABLE records; --", "a\nb\t\\", "%s %(x)s :y ?"], ids=ascii)
def test_any_text_comes_back(log: TuningLog, text: str) -> None:
    kept = record(
        strategy=text, trace=text, checked_by=text, target=text,
        workload=Workload("a", text, text, text), device=Device(text, text, text, 1),
        versions=Versions(text, text, text, text), conditions=Conditions(governor=text),
    )  # fmt: skip
    log.add_many([kept, failed(text)])
    assert log.find(kept.id) == kept
    assert log.best(["a"], features={"neon"}, tvm=text, threads=1) == {"a": kept}
    assert next(log.records(Filter(outcome="failed"))).error == text


def test_times_are_exact(log: TuningLog) -> None:
    zone = timezone(timedelta(hours=-7, minutes=30))
    for when in (datetime(1969, 12, 31, 23, 59, 59, 999999, zone), datetime(2199, 1, 1, 0, 0, 0, 1, zone)):
        kept = record(tuned_at=when)
        log.add(kept)
        assert log.find(kept.id).tuned_at == when
    assert log.find(kept.id).tuned_at.tzinfo is timezone.utc


def test_a_read_only_log_is_not_written(log: TuningLog, url: str) -> None:
    log.add(record())
    with open_log(url, read_only=True) as other:
        for write in (
            lambda: other.add(record()),
            lambda: other.keep_model("k", b""),
            lambda: other.apply(log.prune(1)),
        ):
            with pytest.raises(TuningLogError, match="open for reading only"):
                write()
    assert log.count() == 1


def test_the_device_is_part_of_what_was_measured(log: TuningLog) -> None:
    """One name for another machine: both stay what they were."""
    log.add_many([record(at=0), record(at=1, device=Device("pi", "Raspberry Pi 5", "4x Cortex-A76", 4))])
    assert [each.device.model for each in log.records()] == [PI.model, "Raspberry Pi 5"]
