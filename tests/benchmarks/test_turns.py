"""The order of turns: everybody measures the same amount, in short blocks, next to changing neighbours."""

from collections import Counter
from itertools import pairwise

import pytest
from peer_bench.turns import Turn, turns

WORKERS = ["a", "b", "c"]
LENGTHS = [32, 128]


@pytest.mark.parametrize(("runs", "block"), [(30, 10), (25, 10), (7, 10), (1, 1)], ids=["even", "rest", "short", "one"])
def test_everybody_measures_every_length_as_often_as_asked(runs: int, block: int) -> None:
    counts: Counter[tuple[str, int]] = Counter()
    for turn in turns(WORKERS, LENGTHS, runs, block):
        assert 0 < turn.runs <= block
        counts[turn.worker, turn.length] += turn.runs
    assert counts == {(worker, length): runs for worker in WORKERS for length in LENGTHS}


def test_nobody_gets_a_second_turn_before_all_had_their_first() -> None:
    order = list(turns(WORKERS, LENGTHS, runs=40, block=10))
    for start in range(0, len(order), len(WORKERS)):
        group = order[start : start + len(WORKERS)]
        assert sorted(turn.worker for turn in group) == WORKERS
        assert len({turn.length for turn in group}) == 1


def test_first_place_and_neighbours_change() -> None:
    order = [turn.worker for turn in turns(WORKERS, [32], runs=60, block=10)]
    assert {order[start] for start in range(0, len(order), 3)} == set(WORKERS)
    predecessors = {(before, after) for before, after in pairwise(order) if before != after}
    assert len(predecessors) == 6


def test_exact_order_of_two_rounds() -> None:
    assert list(turns(["a", "b"], [8], runs=3, block=2)) == [
        Turn("a", 8, 2),
        Turn("b", 8, 2),
        Turn("a", 8, 1),
        Turn("b", 8, 1),
    ]


@pytest.mark.parametrize(("runs", "block"), [(0, 10), (10, 0)])
def test_no_runs_are_refused(runs: int, block: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        list(turns(WORKERS, LENGTHS, runs, block))
