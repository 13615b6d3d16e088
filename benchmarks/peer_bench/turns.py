"""Whose turn it is: the order in which the workers measure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """One worker measures one sequence length, so many times in a row."""

    worker: str
    length: int
    runs: int


def turns(workers: Sequence[str], lengths: Sequence[int], runs: int, block: int) -> Iterator[Turn]:
    """Short blocks in rounds, until every worker has measured every length ``runs`` times.

    A slow drift of the machine (its clock, its other tenants) lasts longer than a round, so it falls on all
    workers alike. Each round begins with another worker, and every second one goes backwards, so that nobody
    always follows the same neighbour and its heat.
    """
    if runs < 1 or block < 1:
        raise ValueError(f"runs ({runs}) and block ({block}) must be positive")
    for number, done in enumerate(range(0, runs, block)):
        start = number % max(1, len(workers))
        order = [*workers[start:], *workers[:start]]
        if number % 2:
            order.reverse()
        for length in lengths:
            for worker in order:
                yield Turn(worker, length, min(block, runs - done))
