"""A tuning run from a model to a log: tasks, boards, workers, and their end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...compiler.artifact import Bucket
from ...compiler.estimation import Meter
from ...compiler.model import QuantizedModel
from ...compiler.tasks import tasks_of
from ...errors import ToolchainError, TuningLogError, UnsuitableBoardError
from ...targets.cuda import Cuda
from ...targets.cuda_compilers import compiler_for
from ...targets.target import Target
from ...targets.toolchain import linker
from ...targets.versions import check_versions
from ..sessions.here import HERE
from .bench import Bench
from .boards import BoardProcess, Place
from .build import Builder
from .cost_model import from_bytes, new_cost_model, to_bytes
from .estimating import EstimatingBench
from .interruption import Interruption
from .progress import Progress, Tell
from .result import Machine
from .settings import Settings
from .tuner import Tuner

if TYPE_CHECKING:
    from ...schedules.tuning_log import TuningLog


def tune(
    model: QuantizedModel,
    target: Target,
    buckets: Sequence[Bucket],
    log: TuningLog,
    places: Sequence[Place],
    settings: Settings,
    tell: Tell,
    meter: Meter | None = None,
) -> Sequence[Progress]:
    """Tunes the kernels of ``model`` for ``target`` on the boards at ``places`` and writes every trial to ``log``.

    With a ``meter`` times are its estimates, and the boards, if there are any, only check what candidates compute.

    Raises:
        TargetError: the times of a GPU's kernels are to be estimated.
        ArtifactError: the target has a GPU, and a board has none.
        RemoteError: a board cannot be reached, or the last one was lost.
        UnsuitableBoardError: a board cannot run code for the target.
        ToolchainError: TVM is not the pinned one, or there is no linker or no CUDA compiler for the target.
        TuningLogError: the log cannot be written.
        KeyboardInterrupt: at an interrupt; everything that was measured, and the cost model, are in the log.
    """
    interruption = Interruption()
    if meter is not None:
        target.require_cpu("estimated from their code")
    with opened_bench(places, target, interruption) as (bench, folder):
        tasks = tasks_of(model, buckets, target.kernel_features, target.cuda)
        chosen = bench if meter is None else _estimating(bench, target, meter, interruption)
        with _cost_model(log, target, meter, tell) as cost_model, interruption.from_keyboard():
            tuner = Tuner(tasks, target, log, chosen, settings, folder, cost_model, tell, interruption)
            tuner.run()
        return tuner.progress


@contextmanager
def opened_bench(
    places: Sequence[Place], target: Target, interruption: Interruption | None = None
) -> Iterator[tuple[Bench, Path]]:
    """A bench with sessions at all ``places``, and a folder for files, until the block ends. ``interruption`` ends
    what it measures. Raises as :func:`tune`."""
    check_versions()
    linker(target)
    if target.cuda is not None:
        compiler_for(target.cuda)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="intbert-tune-")))
        boards = [_opened(place, target, stack) for place in places]
        target = _for_drivers(target, boards)
        builder = stack.enter_context(Builder(target, os.cpu_count() or 1))
        shared = any(place.name == HERE for place in places)
        bench = Bench(builder, boards, folder, shared=shared, interruption=interruption or Interruption())
        yield stack.enter_context(closing(bench)), folder


def _estimating(bench: Bench, target: Target, meter: Meter, interruption: Interruption) -> EstimatingBench:
    return EstimatingBench(bench.builder, target, meter, bench if bench.machines else None, interruption)


def _opened(place: Place, target: Target, stack: ExitStack) -> BoardProcess:
    board = BoardProcess(replace(place, on_gpu=target.cuda is not None))
    stack.callback(board.close)
    machine = board.machine
    if machine.arch != target.arch:
        raise UnsuitableBoardError(f"{machine.name} is {machine.arch}, {target.name} is {target.arch}; name its target")
    if missing := sorted(target.features - machine.features):
        raise UnsuitableBoardError(
            f"{machine.name} lacks {', '.join(missing)}, which {target.name} has; name its own target, or another board"
        )
    if target.cuda is not None:
        check_gpu(machine, target.cuda, target.name)
    return board


def check_gpu(machine: Machine, wanted: Cuda, target: str) -> None:
    """The chip must be the target's own, though others may run its code: the log says of which one the times are. And
    there must be a compiler whose code the driver loads."""
    gpu = machine.gpu
    assert gpu is not None, "the board was asked for its GPU"
    if gpu.sm != wanted.sm:
        raise UnsuitableBoardError(
            f"{machine.name} has the GPU {gpu.name} (sm_{gpu.sm}), {target} is {wanted.name}; name its own target"
        )
    try:
        compiler_for(replace(wanted, driver=gpu.release))
    except ToolchainError as error:
        raise UnsuitableBoardError(f"{machine.name}: {error}") from error


def _for_drivers(target: Target, boards: Sequence[BoardProcess]) -> Target:
    """The target with the oldest of the boards' drivers: what that one loads, the others load too."""
    releases = [board.machine.gpu.release for board in boards if board.machine.gpu is not None]
    return target.for_driver(min(releases, default=None))


@contextmanager
def _cost_model(log: TuningLog, target: Target, meter: Meter | None, tell: Tell) -> Iterator[Any]:
    """The cost model that the log keeps for this processor, or a new one; the log keeps what it learns. What it learns
    of estimates is kept apart."""
    learnt = "xgboost" if meter is None else f"xgboost of {meter.name}"
    key = f"{learnt} {target.arch} {' '.join(sorted(target.tuning_features))}"
    kept = log.model(key)
    try:
        model = new_cost_model() if kept is None else from_bytes(kept)
    except TuningLogError as error:
        tell((), str(error))
        model = new_cost_model()
    try:
        yield model
    finally:
        log.keep_model(key, to_bytes(model))
