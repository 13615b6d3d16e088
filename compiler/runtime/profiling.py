"""Measures a :class:`..profile.Profile` by the instrumentation of TVM's virtual machine.

The machine calls back before and after every call that it makes (``set_instrument`` of
https://tvm.apache.org/docs/arch/relax_vm.html), on the thread that runs the inference. The clock is read last before
the call and first after it. What passes between and is not the operator: TVM turns the arguments into Python objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Manifest, StrategyRecord
from ..measure import sample_ids
from ..profile import OperatorTime, Profile, ProfileRequest, slowest_first
from .inputs import plan

if TYPE_CHECKING:
    from .model import Model

WARMUP = 2
"""Inferences of each kind, with and without instrumentation, that do not count."""

Clock = Callable[[], int]
"""Nanoseconds since some moment."""

_GO_ON = 0  # VMInstrumentReturnKind.NO_OP; 1 would skip the call
_OF_THE_MACHINE = "vm.builtin."


def profile(model: Model, request: ProfileRequest, clock: Clock = time.perf_counter_ns) -> Profile:
    """How long each operator takes in an inference of the sentence that benchmarks run.

    Inferences with and without instrumentation take turns, so that a machine that slows down slows both. Raises
    InputError for a length beyond the largest bucket; whatever happens, the model is not instrumented afterwards.
    """
    end = time.monotonic() + request.seconds
    length = request.length or model.max_length
    ids = np.tile(sample_ids(model, length), (request.batch, 1))
    for _ in range(WARMUP):
        _elapsed(model, ids, clock)
        _traced(model, ids, clock)
    plain: list[int] = []
    traces: list[_Trace] = []
    while len(traces) < request.runs and (not traces or time.monotonic() < end):
        plain.append(_elapsed(model, ids, clock))
        traces.append(_traced(model, ids, clock))
    totals = [trace.elapsed for trace in traces]
    return Profile(
        operators=slowest_first(_operators(model.manifest, request.batch, length, traces)),
        steps=traces[0].steps,
        instrumented_ms=_ms(np.mean(totals)),
        # Of the fastest: what a busy machine adds to one of the two would not cancel out.
        instrumentation_ms=_ms(min(totals) - min(plain)),
        uninstrumented_p50_ms=_ms(np.median(plain)),
        length=length,
        batch=request.batch,
        threads=model.threads,
        runs=len(traces),
    )


@dataclass(frozen=True)
class _Trace:
    """An instrumented inference: nanoseconds in all, the machine's calls, and (kernel, nanoseconds) in their order."""

    elapsed: int
    steps: int
    calls: tuple[tuple[str, int], ...]


class _Recorder:
    """What the machine calls back: notes how long each call of a kernel took, until ``wait`` says that it has ended."""

    def __init__(self, clock: Clock, wait: Callable[[], None]) -> None:
        self.steps = 0
        self.calls: list[tuple[str, int]] = []
        self._clock = clock
        self._wait = wait
        self._start = 0

    def __call__(self, function: Any, name: str, before: bool, result: Any, *arguments: Any) -> int:
        if before:
            self._start = self._clock()
            return _GO_ON
        self._wait()
        elapsed = self._clock() - self._start
        self.steps += 1
        if not name.startswith(_OF_THE_MACHINE):
            self.calls.append((name, elapsed))
        return _GO_ON


def _elapsed(model: Model, ids: NDArray[Any], clock: Clock) -> int:
    start = clock()
    model.run(ids)
    return clock() - start


def _traced(model: Model, ids: NDArray[Any], clock: Clock) -> _Trace:
    recorder = _Recorder(clock, model.wait)
    with model.instrumented(recorder):
        elapsed = _elapsed(model, ids, clock)
    return _Trace(elapsed, recorder.steps, tuple(recorder.calls))


def _operators(manifest: Manifest, batch: int, length: int, traces: Sequence[_Trace]) -> list[OperatorTime]:
    """One entry a call, in the order of the calls."""
    kernels = [kernel for kernel, _ in traces[0].calls]
    assert all([kernel for kernel, _ in trace.calls] == kernels for trace in traces), "the runs differ in their calls"
    means = np.mean([[elapsed for _, elapsed in trace.calls] for trace in traces], axis=0)
    records = _records(manifest, batch, length)
    if len(records) != len(kernels):
        return [OperatorTime(kernel, kernel, None, 1, _ms(mean)) for kernel, mean in zip(kernels, means, strict=True)]
    return [
        OperatorTime(
            record.operator.partition("/")[2], kernel, record.strategy, 1, _ms(mean), record.macs, record.bytes
        )
        for record, kernel, mean in zip(records, kernels, means, strict=True)
    ]


def _records(manifest: Manifest, batch: int, length: int) -> list[StrategyRecord]:
    """What the manifest says of each call: it lists a function's operators in the order of its calls."""
    functions = [bucket.function for bucket, _ in plan(manifest.buckets, [length] * batch)]
    return [
        record for function in functions for record in manifest.strategies if record.operator.startswith(f"{function}/")
    ]


def _ms(nanoseconds: Any) -> float:
    return float(nanoseconds) / 1e6
