"""An interrupt ends a run wherever it comes, loses nothing that was measured, and leaves no process behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import psutil
import pytest
from intbert.compiler.artifact import Bucket
from intbert.compiler.model import HeadKind
from intbert.rpc.on_board.kernels import Request
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning import run as run_module
from intbert.rpc.tuning.arguments import Arguments
from intbert.rpc.tuning.boards import Place
from intbert.rpc.tuning.build import Builder
from intbert.rpc.tuning.cost_model import new_cost_model
from intbert.rpc.tuning.interruption import Interruption
from intbert.rpc.tuning.result import Machine, Measured
from intbert.rpc.tuning.run import tune
from intbert.rpc.tuning.settings import Settings
from intbert.schedules.tuning_log import TuningLog, open_log
from intbert.targets import get_target

from ...models import Size, tiny_model
from .conftest import NewBench
from .kernels import adding_one, endless

REQUEST = Request(outputs=1, threads=1, repeats=2, least_ms=0.0)
BUILDS = 12


def press() -> None:
    """What the terminal does at Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def terminal() -> Iterator[None]:
    """As in a terminal: jobs in the background ignore SIGINT, and then so does a run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_remembered() -> None:
    interruption = Interruption()
    interruption.check()
    with interruption.from_keyboard():
        press()
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_one_is_not() -> None:
    with Interruption().from_keyboard():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_interrupt_stays_ignored() -> None:
    interruption = Interruption()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruption.from_keyboard():
            press()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not interruption.asked


def test_other_threads_handle_no_signals() -> None:
    def handler() -> Any:
        with Interruption().from_keyboard():
            return signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handler).result() is signal.default_int_handler


def test_no_board_begins_another_candidate(new_bench: NewBench, one: Arguments, interruption: Interruption) -> None:
    heard: list[int] = []

    def ask(index: int, measured: Measured, machine: Machine | None) -> None:
        heard.append(index)
        interruption.ask()

    with pytest.raises(KeyboardInterrupt):
        new_bench(1).measure([adding_one() for _ in range(3)], one, REQUEST, ask)
    assert len(heard) == 1


def test_a_board_that_measures_is_not_waited_for(
    new_bench: NewBench, one: Arguments, interruption: Interruption
) -> None:
    """Waited for, it would be heard of as a board that did not answer."""
    bench = new_bench(1)
    started = threading.Timer(1.0, interruption.ask)
    started.start()
    heard: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        bench.measure([endless()], one, REQUEST, lambda index, measured, machine: heard.append(index))
    started.join()
    assert heard == []


def test_builds_that_wait_are_cancelled_and_those_that_run_are_killed(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    with Builder(get_target("host"), 1) as builder:
        builds = [builder.submit(adding_one(), tmp_path / f"{number}.so") for number in range(BUILDS)]
    done, unfinished = wait(builds, 0)
    assert unfinished == set()
    assert any(build.cancelled() for build in done)
    assert not (tmp_path / f"{BUILDS - 1}.so").exists()
    assert set(psutil.Process().children(recursive=True)) <= before


def from_the_cost_model(log: TuningLog, monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[], None]) -> None:
    def interrupting() -> Any:
        model = new_cost_model()
        predict = model._inst.predict

        def interrupted(*arguments: Any) -> Any:
            interrupt()
            return predict(*arguments)

        model.predict = interrupted
        return model

    monkeypatch.setattr(run_module, "new_cost_model", interrupting)


def from_the_database(log: TuningLog, monkeypatch: pytest.MonkeyPatch, interrupt: Callable[[], None]) -> None:
    top = log.top

    def interrupted(*arguments: Any, **options: Any) -> Any:
        interrupt()
        return top(*arguments, **options)

    monkeypatch.setattr(log, "top", interrupted)


@pytest.mark.parametrize("interrupted_from", [from_the_cost_model, from_the_database], ids=["cost-model", "database"])
def test_an_interrupt_inside_the_search_ends_the_run_before_the_next_trial(
    interrupted_from: Callable[[TuningLog, pytest.MonkeyPatch, Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))
    settings = Settings(trials=1000, threads=1, round_size=4, repeats=2, least_ms=0.0)
    counts: list[int] = []
    with open_log(tmp_path / "tuning.db") as log:

        def interrupt() -> None:
            if not counts:
                press()
            counts.append(log.count())

        interrupted_from(log, monkeypatch, interrupt)
        place = Place(Here(), HERE, wait=0.0)
        with pytest.raises(KeyboardInterrupt):
            tune(model, get_target("host"), [Bucket(8)], log, [place], settings, lambda progress, step: None)
        assert log.count() == counts[0]
        assert log.summary().cost_models
