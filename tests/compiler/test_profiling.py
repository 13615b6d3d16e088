"""Profiling on a toy library and a compiled encoder, with a clock that ticks once a reading."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.compiler.artifact import MANIFEST_FILE
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind
from intbert.compiler.profile import OperatorTime, ProfileRequest
from intbert.compiler.runtime import Model, load
from intbert.compiler.runtime.profiling import WARMUP, profile
from intbert.errors import InputError
from intbert.targets import get_target

from ..models import Size, tiny_model

IDS = np.array([[1, 3, 4, 2]], np.int32)


def ticking(period: int = 1_000_000) -> Callable[[], int]:
    """A clock whose every reading is ``period`` ns (a millisecond) later than the one before."""
    return itertools.count(0, period).__next__


def steps_of(model: Model) -> int:
    """How many calls the machine makes in a run: zero where nobody hears of them."""
    heard: list[str] = []

    def hear(function: Any, name: str, before: bool, *rest: Any) -> int:
        heard.append(name)
        return 0

    with model.instrumented(hear):
        model.run(IDS)
    return len(heard) // 2


def stated(toy: Path, *records: str) -> Path:
    """The toy, its manifest saying of each of ``records`` that it has the strategy "plain"."""
    manifest = json.loads((toy / MANIFEST_FILE).read_text())
    manifest["strategies"] = [{"operator": name, "strategy": "plain", "rejected": []} for name in records]
    (toy / MANIFEST_FILE).write_text(json.dumps(manifest))
    return toy


def test_time_is_that_between_two_readings(toy: Path) -> None:
    """One tick for an operator, and one for each of the other readings: two a step, and the last."""
    model = load(toy)
    found = profile(model, ProfileRequest(length=8, runs=3), ticking())
    assert found.operators == (OperatorTime("pooled", "pooled", None, 1, 1.0),)
    assert found.steps == steps_of(model)
    assert found.instrumented_ms == 2 * found.steps + 1
    assert found.instrumentation_ms == 2 * found.steps
    assert (found.uninstrumented_p50_ms, found.total_ms, found.outside_ms) == (1.0, 1.0, 0.0)
    assert (found.length, found.batch, found.runs, found.threads) == (8, 1, 3, model.threads)


def test_times_are_of_the_real_clock_by_default(toy: Path) -> None:
    found = profile(load(toy), ProfileRequest(runs=2))
    (operator,) = found.operators
    assert 0 < operator.ms < found.instrumented_ms
    assert operator.ms + found.outside_ms == pytest.approx(found.total_ms)
    assert found.length == 16


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param(
            ["main_b1_t8/sum", "main_b4_t8/sum", "main_b1_t16/sum"],
            {("sum", "pooled", "plain"): 2, ("sum", "pooled1", "plain"): 1},
            id="named",
        ),
        pytest.param(
            ["main_b1_t8/sum", "main_b1_t8/more", "main_b4_t8/sum"],
            {("pooled", "pooled", None): 2, ("pooled1", "pooled1", None): 1},
            id="manifest-of-other-operators",
        ),
    ],
)
def test_every_call_of_every_bucket_counts(
    toy_copy: Path, records: list[str], expected: dict[tuple[str, str, str | None], int]
) -> None:
    """Six rows are a call for four and two for one."""
    found = profile(load(stated(toy_copy, *records)), ProfileRequest(length=8, batch=6, runs=2), ticking())
    assert {(o.name, o.kernel, o.strategy): o.calls for o in found.operators} == expected
    assert [o.ms for o in found.operators] == sorted(map(float, expected.values()), reverse=True)


def test_operators_have_the_names_and_strategies_of_the_manifest(tmp_path: Path) -> None:
    quantized = tiny_model("Bert", HeadKind.TOKEN_CLASSIFICATION, Size(layers=2))
    model = load(compile_model(quantized, get_target("host"), lengths=[4, 8], output=tmp_path / "artifact"))
    found = profile(model, ProfileRequest(length=8, runs=2), ticking())
    records = [r for r in model.manifest.strategies if r.operator.startswith("main_b1_t8/")]
    assert Counter({(o.name, o.strategy): o.calls for o in found.operators}) == Counter(
        (r.operator.removeprefix("main_b1_t8/"), r.strategy) for r in records
    )
    assert found.macs == sum(r.macs or 0 for r in records) > 0
    assert found.bytes == sum(r.bytes or 0 for r in records)
    kernels = {o.name: o.kernel.rstrip("0123456789") for o in found.operators}
    wanted = {"attention": "attention", "norm": "layer_norm", "embeddings": "embedding"}
    assert kernels == {name: wanted.get(name.rpartition("_")[2].rpartition(".")[2], "linear") for name in kernels}


def test_time_that_is_over_ends_it_after_one_run(toy: Path) -> None:
    assert profile(load(toy), ProfileRequest(runs=1000, seconds=0), ticking()).runs == 1


def test_a_length_that_no_bucket_holds(toy: Path) -> None:
    with pytest.raises(InputError, match="99 tokens, the artifact's largest bucket holds 16"):
        profile(load(toy), ProfileRequest(length=99))


def count_readings(toy: Path) -> int:
    clock = itertools.count(0, 1000)
    profile(load(toy), ProfileRequest(runs=1), clock.__next__)
    return next(clock) // 1000


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.95], ids=lambda place: f"after-{place:.0%}")
def test_an_error_leaves_the_model_as_it_was(toy: Path, place: float) -> None:
    model = load(toy)
    before, steps = model.run(IDS), steps_of(model)
    left = int(count_readings(toy) * place)
    read: list[int] = []

    def broken() -> int:
        read.append(0)
        if len(read) > left:
            raise ValueError("the clock broke")
        return len(read)

    with pytest.raises(ValueError, match="the clock broke"):
        profile(model, ProfileRequest(runs=1), broken)
    readings = len(read)
    after = model.run(IDS)
    assert len(read) == readings, "still instrumented"
    assert after.tobytes() == before.tobytes()
    assert steps_of(model) == steps
    assert profile(model, ProfileRequest(runs=1), ticking()).steps == steps


def test_nothing_is_instrumented_afterwards(toy: Path) -> None:
    model = load(toy)
    before = model.run(IDS)
    read: list[int] = []

    def clock() -> int:
        read.append(0)
        return len(read)

    found = profile(model, ProfileRequest(runs=2), clock)
    assert len(read) == (2 + WARMUP) * (2 + 2 + 2 * found.steps)
    assert model.run(IDS).tobytes() == before.tobytes()
    assert len(read) == (2 + WARMUP) * (2 + 2 + 2 * found.steps)


def test_other_threads_wait_and_are_not_counted(toy: Path) -> None:
    model = load(toy)
    model.run(IDS)
    heard: list[str] = []
    outputs: list[Any] = []
    thread = threading.Thread(target=lambda: outputs.append(model.run(IDS)))

    def hear(function: Any, name: str, *rest: Any) -> int:
        heard.append(name)
        return 0

    with model.instrumented(hear):
        thread.start()
        thread.join(0.2)
        assert outputs == []
    thread.join()
    assert len(outputs) == 1
    assert heard == []
