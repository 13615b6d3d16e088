"""How well estimates rank candidates: ``python benchmarks/estimation.py [--points 40] [--length 128]``.

Draws points of the spaces of all-MiniLM-L6-v2's linear and attention kernels, estimates and measures each on this
machine with one thread, and prints Spearman's rank correlation, and how much slower the point with the best estimate
is than the fastest one. Writes ``build/bench/estimation.json``. Pin it: ``taskset -c 1``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from intbert.compiler.artifact import Bucket
from intbert.compiler.estimation import best_meter, estimate_kernel
from intbert.compiler.estimation.meters import InstructionMeter
from intbert.compiler.kernel_library import build_kernel_library
from intbert.compiler.kernels import Alternative
from intbert.compiler.tasks import Task, tasks_of
from intbert.quantization import demo_model_folder, quantize
from intbert.rpc.on_board.kernels import KernelArguments, Request, measure
from intbert.rpc.telemetry import Sensors
from intbert.rpc.tuning.arguments import write_arguments
from intbert.schedules.space import space, trace_json
from intbert.targets import get_target
from scipy.stats import spearmanr

OUTPUT = Path("build/bench/estimation.json")
OPERATORS = ("linear", "attention")
ROUNDS = 9
SEED = 1
SENTENCES = ("The ferry leaves at a quarter past nine, if the fog lifts.", "It rains.", "How many have you read?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args()
    model = quantize(demo_model_folder(), sentences=SENTENCES, max_length=32)
    tasks = tasks_of(model, [Bucket(options.length)], get_target("host").features)
    rows = [_compared(task, options.points) for task in tasks if task.operator in OPERATORS]
    for row in rows:
        print(json.dumps(row))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _compared(task: Task, points: int) -> dict[str, Any]:
    target, alternative = get_target("host"), task.alternatives[0]
    meters = (best_meter(target), InstructionMeter())
    functions = _points(alternative, points)
    estimates = [[estimate_kernel(each, target, 1, meter).seconds for each in functions] for meter in meters]
    seconds = _measured(task, alternative, functions)
    fastest = min(seconds)
    return {
        "kernel": f"{task.operator} {task.shape}",
        "strategy": alternative.strategy.name,
        "points": len(functions),
        "fastest_us": fastest * 1e6,
        "slowest_us": max(seconds) * 1e6,
        "rank_correlation": {m.name: _rank(found, seconds) for m, found in zip(meters, estimates, strict=True)},
        "slower_than_the_fastest": {
            m.name: seconds[found.index(min(found))] / fastest - 1 for m, found in zip(meters, estimates, strict=True)
        },
    }


def _rank(first: list[float], second: list[float]) -> float:
    return float(spearmanr(first, second)[0])


def _points(alternative: Alternative, number: int) -> list[Any]:
    """Different points of the space, drawn at random; the default is the first."""
    import tvm
    from tvm.s_tir import Schedule

    found = {trace_json(alternative.default()): alternative.default()}
    generator = space(alternative.strategy, alternative.kernel, alternative.workload)
    module = tvm.IRModule({"main": alternative.kernel})
    sketches = generator.generate_design_space(module)
    for seed in range(SEED, SEED + 20 * number):
        sketch = sketches[seed % len(sketches)]
        schedule = Schedule(module, seed=seed)
        trace = tvm.s_tir.schedule.Trace(sketch.trace.insts, {})
        trace.apply_to_schedule(schedule, remove_postproc=True)
        found.setdefault(trace_json(schedule), schedule)
        if len(found) == number:
            break
    return [alternative.finish(schedule) for schedule in found.values()]


def _measured(task: Task, alternative: Alternative, functions: list[Any]) -> list[float]:
    """The shortest median of each, measured in turns."""
    request = Request(len(task.outputs), 1, 5, 5.0)
    with tempfile.TemporaryDirectory(prefix="intbert-bench-") as folder:
        arguments = KernelArguments(write_arguments(Path(folder), "arguments", task, alternative).path)
        libraries = [Path(folder) / f"{index}.so" for index in range(len(functions))]
        for function, path in zip(functions, libraries, strict=True):
            build_kernel_library(function, get_target("host"), path)
        rounds = [
            [statistics.median(measure(path, arguments, Sensors(), request)["seconds"]) for path in libraries]
            for _ in range(ROUNDS)
        ]
    return [min(times) for times in zip(*rounds, strict=True)]


if __name__ == "__main__":
    main()
