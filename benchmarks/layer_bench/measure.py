"""All runtimes with both depths, in turns."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from peer_bench.contenders import Contender
from peer_bench.machine import cpu_features, cpu_model
from peer_bench.measure import Plan, Progress, TurnSamples, start, take_turns
from peer_bench.process import WorkerProcess
from peer_bench.repository import BENCHMARKS

from .models import DEEP, SHALLOW
from .rows import LayerRow, layer_times


@dataclass(frozen=True)
class LayerPlan:
    """The same contenders with one layer and with three."""

    model: str
    target: str
    """What this project's models were compiled for."""
    depths: dict[int, Plan]

    @property
    def contenders(self) -> Sequence[Contender]:
        return [entry.contender for entry in self.depths[SHALLOW].entries]


def measure_layers(plan: LayerPlan, logs: Path, progress: Progress) -> list[LayerRow]:
    """Start all workers, let them take turns, end them; one row a contender and length.

    Raises:
        BenchmarkError: a worker died, or the differences make no sense.
    """
    shallow = plan.depths[SHALLOW]
    with ExitStack() as stack:
        workers: dict[str, WorkerProcess] = {}
        for depth, each in plan.depths.items():
            for entry in each.entries:
                progress(f"{each.model.name}: loading {entry.contender.name}", 0)
                worker = stack.enter_context(start(each, entry, logs, BENCHMARKS))
                workers[_name(entry.contender, depth)] = worker
        samples = take_turns(workers, shallow.lengths, shallow.runs, f"layers of {plan.model}", progress)
        return [
            _row(plan, contender, length, workers, samples)
            for length in shallow.lengths
            for contender in plan.contenders
        ]


def _name(contender: Contender, depth: int) -> str:
    return f"{contender.name}, {depth} layers"


def _row(
    plan: LayerPlan, contender: Contender, length: int, workers: dict[str, WorkerProcess], samples: TurnSamples
) -> LayerRow:
    less, more = (samples[_name(contender, depth), length] for depth in (SHALLOW, DEEP))
    deep = workers[_name(contender, DEEP)]
    return LayerRow(
        model=plan.model, runtime=contender.runtime, precision=contender.precision, length=length,
        threads=plan.depths[SHALLOW].threads, **layer_times(contender.name, less, more),
        runs=sum(len(turn.seconds) for turn in more), cosine=round(deep.cosine[str(length)], 6),
        target=plan.target, cpu=cpu_model(), features=cpu_features(), versions=deep.versions,
    )  # fmt: skip
