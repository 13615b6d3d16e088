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
from intbert.rpc.tuning.interruption import Interruption
from intbert.targets import get_target

from .kernels import arguments

TIMEOUT = 10.0
NewBench = Callable[[int], Bench]


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    with Builder(get_target("host"), 2) as builder:
        yield builder


@pytest.fixture
def interruption() -> Interruption:
    """Ends what :func:`new_bench`'s benches measure."""
    return Interruption()


@pytest.fixture
def new_bench(builder: Builder, interruption: Interruption, tmp_path: Path) -> Iterator[NewBench]:
    """A bench with so many boards."""
    benches: list[Bench] = []

    def make(boards: int) -> Bench:
        place = Place(Here(), HERE, wait=0.0, timeout=TIMEOUT)
        processes = [BoardProcess(place) for _ in range(boards)]
        bench = Bench(builder, processes, tmp_path, shared=True, interruption=interruption)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def one(tmp_path: Path) -> Arguments:
    return Arguments(arguments(tmp_path / "one.npz"), "one")
