"""Candidates of every kind on boards that are this machine: each gets a result, and the next one too."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import psutil
import pytest
from intbert.errors import RemoteError
from intbert.rpc.on_board.kernels import UNTOUCHED, Request
from intbert.rpc.tuning.arguments import Arguments
from intbert.rpc.tuning.result import Machine, Measured

from .conftest import NewBench
from .kernels import EXPECTED, adding_one, crashing, endless, kernel, unbuildable, uncompilable

REQUEST = Request(outputs=1, threads=1, repeats=3, least_ms=0.0)
RIGHT = hashlib.sha256(EXPECTED.tobytes()).hexdigest()


class Heard:
    """Everything that a bench said, by the index of the candidate."""

    def __init__(self) -> None:
        self.results: dict[int, Measured] = {}
        self.machines: dict[int, Machine | None] = {}

    def __call__(self, index: int, measured: Measured, machine: Machine | None) -> None:
        assert index not in self.results, "heard of twice"
        self.results[index], self.machines[index] = measured, machine

    def errors(self) -> list[str | None]:
        return [self.results[index].error for index in sorted(self.results)]


def measured(new_bench: NewBench, functions: Sequence[Any], arguments: Arguments, boards: int = 1) -> Heard:
    heard = Heard()
    new_bench(boards).measure(functions, arguments, REQUEST, heard)
    return heard


def test_what_is_right_and_what_is_wrong(new_bench: NewBench, one: Arguments) -> None:
    heard = measured(new_bench, [adding_one(), kernel(lambda x, i: x[i] + 2)], one)
    right, wrong = heard.results[0], heard.results[1]
    assert right.sha256 == RIGHT != wrong.sha256
    assert len(right.seconds) == REQUEST.repeats
    assert min(right.seconds) > 0
    assert right.conditions is not None
    assert {"clock_mhz", "temperature_c", "throttled"} <= set(right.conditions)
    machine = heard.machines[0]
    assert machine is not None
    assert (machine.name, machine.cores) == ("this machine", len(psutil.Process().cpu_affinity() or []))


def test_what_goes_wrong_costs_one_candidate(new_bench: NewBench, one: Arguments) -> None:
    heard = measured(new_bench, [adding_one(), crashing(), unbuildable(), uncompilable(), endless(), adding_one()], one)
    errors = heard.errors()
    assert errors[1] == "the session's process died (SIGSEGV)"
    assert str(errors[2]).startswith("unknown intrinsic")
    assert errors[3:] == ["the compiler crashed", "no answer within 10 s", None]
    assert [heard.machines[index] is None for index in range(6)] == [False, False, True, True, False, False]
    assert heard.results[0].sha256 == heard.results[5].sha256 == RIGHT


def test_an_output_that_a_kernel_leaves_as_it_was_is_seen(new_bench: NewBench, one: Arguments) -> None:
    """It would be that of the kernel before."""
    from tvm import tirx

    nothing = adding_one().with_body(tirx.Evaluate(0))
    heard = measured(new_bench, [adding_one(), nothing], one)
    untouched = np.full_like(EXPECTED.view(np.uint8), UNTOUCHED)
    assert heard.results[0].sha256 == RIGHT
    assert heard.results[1].sha256 == hashlib.sha256(untouched.tobytes()).hexdigest()


def test_several_boards_share_the_work(new_bench: NewBench, one: Arguments) -> None:
    heard = measured(new_bench, [adding_one() for _ in range(6)], one, boards=2)
    assert heard.errors() == [None] * 6
    assert {result.sha256 for result in heard.results.values()} == {RIGHT}


def test_a_board_that_is_lost_loses_nothing(new_bench: NewBench, one: Arguments) -> None:
    bench = new_bench(2)
    boards = psutil.Process().children()
    heard = Heard()

    def kill_first(index: int, result: Measured, machine: Machine | None) -> None:
        heard(index, result, machine)
        if len(heard.results) == 1:
            victim = next(each for each in boards if is_board(each))
            victim.kill()

    bench.measure([adding_one() for _ in range(6)], one, REQUEST, kill_first)
    assert heard.errors() == [None] * 6
    assert len(bench.machines) == 1


def test_without_any_board_it_says_so(new_bench: NewBench, one: Arguments) -> None:
    bench = new_bench(1)
    for child in psutil.Process().children():
        if is_board(child):
            child.kill()
    heard = Heard()
    with pytest.raises(RemoteError, match="no board is left, and what was measured is in the log"):
        bench.measure([adding_one()], one, REQUEST, heard)
    assert heard.results == {}


def is_board(process: psutil.Process) -> bool:
    """Whether it is one of multiprocessing's spawned processes, and not its resource tracker or a builder."""
    return "spawn_main" in " ".join(process.cmdline())
