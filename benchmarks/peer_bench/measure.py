"""The measurement: all workers of one model and thread count at once, one of them computing at a time."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .contenders import Contender
from .environment import worker_environment
from .machine import cpu_features, cpu_model, cpus_for
from .models import BenchmarkModel
from .process import WorkerProcess
from .rows import Row, Samples, latencies, ratio_of_turns
from .turns import turns
from .workers.serve import Spec

BLOCK = 10
WARM_UP = 2

Progress = Callable[[str, int], None]
"""Told what goes on, and by how many measured runs the work has advanced."""


TurnSamples = Mapping[tuple[str, int], Sequence[Samples]]
"""Worker and length -> its samples, a turn after the other."""


@dataclass(frozen=True)
class Entry:
    """A contender that can be started: the interpreter it needs and the prepared model it loads."""

    contender: Contender
    python: Path
    model: Path


@dataclass(frozen=True)
class Plan:
    """One group of workers that take turns."""

    model: BenchmarkModel
    entries: Sequence[Entry]
    inputs: Path
    lengths: Sequence[int]
    threads: int
    runs: int
    batch: int = 1


def start(plan: Plan, entry: Entry, logs: Path, package_root: Path) -> WorkerProcess:
    """A worker of the plan, loaded and standing still.

    Raises:
        BenchmarkError: it could not load its model.
    """
    spec = Spec(
        model=str(entry.model), inputs=str(plan.inputs), precision=entry.contender.precision,
        threads=plan.threads, cpus=cpus_for(plan.threads), lengths=list(plan.lengths), batch=plan.batch,
    )  # fmt: skip
    name = f"{plan.model.name}-{entry.contender.name}-{plan.threads}"
    command = [entry.python, "-m", entry.contender.module]
    return WorkerProcess(name, command, spec, logs, worker_environment(package_root, plan.threads))


def measure(plan: Plan, logs: Path, package_root: Path, progress: Progress) -> list[Row]:
    """Start the plan's workers, let them take turns, end them; one row a worker and length.

    Raises:
        BenchmarkError: a worker could not load its model or died.
    """
    with ExitStack() as stack:
        workers: dict[str, WorkerProcess] = {}
        for entry in plan.entries:
            progress(f"{plan.model.name}: loading {entry.contender.name}", 0)
            worker = stack.enter_context(start(plan, entry, logs, package_root))
            workers[entry.contender.name] = worker
        what = f"{plan.model.name}, {plan.threads} threads"
        return _rows(plan, workers, take_turns(workers, plan.lengths, plan.runs, what, progress))


def take_turns(
    workers: Mapping[str, WorkerProcess], lengths: Sequence[int], runs: int, what: str, progress: Progress
) -> TurnSamples:
    """Let the workers measure in turns; the samples of each of them, a turn after the other."""
    samples: dict[tuple[str, int], list[Samples]] = {}
    for turn in turns(list(workers), lengths, runs, BLOCK):
        taken = workers[turn.worker].measure(turn.length, turn.runs, WARM_UP)
        samples.setdefault((turn.worker, turn.length), []).append(taken)
        progress(f"{what}, length {turn.length}: {turn.worker}", turn.runs)
    return samples


def _rows(plan: Plan, workers: Mapping[str, WorkerProcess], samples: TurnSamples) -> list[Row]:
    cpu, features = cpu_model(), cpu_features()
    ours = next((entry.contender.name for entry in plan.entries if not entry.contender.is_peer), None)
    return [
        Row(
            model=plan.model.name, runtime=entry.contender.runtime, precision=entry.contender.precision,
            length=length, batch=plan.batch, threads=plan.threads,
            **latencies(samples[entry.contender.name, length], plan.threads),
            cosine=round(workers[entry.contender.name].cosine[str(length)], 6),
            cpu=cpu, features=features, versions=workers[entry.contender.name].versions,
            to_ours=None if ours is None else ratio_of_turns(
                samples[entry.contender.name, length], samples[ours, length]
            ),
        )
        for length in plan.lengths
        for entry in plan.entries
    ]  # fmt: skip
