"""A builder for this machine, and boards that are this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning.arguments import Arguments
from intbert.rpc.tuning.bench import Bench
from intbert.rpc.tuning.boards import BoardProcess, Place
from intbert.rpc.tuning.build import Builder
from intbert.targets import get_target

from .kernels import arguments

TIMEOUT = 10.0
NewBench = Callable[[int], Bench]


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with Builder(get_target("host"), 2) as builder:
        yield builder


@pytest.fixture
def new_bench(builder: Builder, tmp_path: Path) -> Iterator[NewBench]:
    """A bench with so many boards."""
    benches: list[Bench] = []

    def make(boards: int) -> Bench:
        place = Place(Here(), HERE, wait=0.0, timeout=TIMEOUT)
        bench = Bench(builder, [BoardProcess(place) for _ in range(boards)], tmp_path, shared=True)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def one(tmp_path: Path) -> Arguments:
    return Arguments(arguments(tmp_path / "one.npz"), "one")
