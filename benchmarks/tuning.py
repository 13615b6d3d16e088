"""What tuning all-MiniLM-L6-v2 on this machine brings: ``python benchmarks/tuning.py [--trials 200] [--length 128]``.

Tunes into a fresh log, compiles with and without it, and measures the two artifacts in turns, one thread, each round in
processes of their own. Writes ``build/bench/tuning.json``. Pin it: ``taskset -c 0,1``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intbert.compiler.artifact import Bucket
from intbert.compiler.build import compile_model
from intbert.compiler.model import QuantizedModel
from intbert.compiler.tuned import TunedSchedules
from intbert.quantization import demo_model_folder, quantize
from intbert.rpc.benchmark import Plan
from intbert.rpc.benchmark.here import bench_here
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning.boards import Place
from intbert.rpc.tuning.run import tune
from intbert.rpc.tuning.settings import Settings
from intbert.schedules.tuning_log import open_log
from intbert.targets import get_target

OUTPUT = Path("build/bench/tuning.json")
ROUNDS = 9
SENTENCES = ("The ferry leaves at a quarter past nine, if the fog lifts.", "It rains.", "How many have you read?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--length", type=int, default=128)
    options = parser.parse_args()
    model = quantize(demo_model_folder(), sentences=SENTENCES, max_length=32)
    with tempfile.TemporaryDirectory(prefix="intbert-bench-") as folder:
        document = _measure(model, Path(folder), options.trials, options.length)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in document.items() if key != "tasks"}, indent=1))


def _measure(model: QuantizedModel, folder: Path, trials: int, length: int) -> dict[str, Any]:
    target, lengths = get_target("host"), [length]
    settings = Settings(trials=trials, threads=1)
    with open_log(folder / "tuning.db") as log:
        start = time.monotonic()
        place = Place(Here(), HERE, wait=0.0)
        progress = tune(model, target, [Bucket(length)], log, [place], settings, lambda tasks, step: None)
        seconds = time.monotonic() - start
        records = list(log.records())
        default, compile_seconds = _timed(lambda: compile_model(model, target, lengths=lengths, output=folder / "a"))
        schedules = TunedSchedules(log, target, threads=1)
        tuned, tuned_seconds = _timed(
            lambda: compile_model(model, target, lengths=lengths, output=folder / "b", tuned=schedules)
        )
    measured = sum(each.trials for each in progress)
    p50 = _in_turns([default, tuned], length)
    return {
        "trials": measured,
        "measurements": len(records),
        "seconds": seconds,
        "trials_per_second": measured / seconds,
        "measurements_per_second": len(records) / seconds,
        "valid_share": sum(record.error is None for record in records) / len(records),
        "compile_seconds": compile_seconds,
        "compile_with_log_seconds": tuned_seconds,
        "default_p50_ms": p50[0],
        "tuned_p50_ms": p50[1],
        "tuned_to_default": [after / before for before, after in zip(*p50, strict=True)],
        "median_ratio": statistics.median(after / before for before, after in zip(*p50, strict=True)),
        "tasks": [each.to_json() for each in progress],
    }


def _in_turns(artifacts: Sequence[Path], length: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in artifacts]
    plan = Plan(length=length, threads=1, seconds=5.0)
    for _ in range(ROUNDS):
        for index, artifact in enumerate(artifacts):
            found[index].append(bench_here(artifact, plan)["p50_ms"])
    return found


def _timed(compiling: Any) -> tuple[Path, float]:
    start = time.monotonic()
    artifact = compiling()
    return artifact, time.monotonic() - start


if __name__ == "__main__":
    main()
