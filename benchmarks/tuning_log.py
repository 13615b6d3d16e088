"""A tuning log of a million records: how long look-ups and imports take. Writes build/bench/tuning_log.json.

    .venv/bin/python benchmarks/tuning_log.py                                  # an SQLite file below build/bench
    .venv/bin/python benchmarks/tuning_log.py --url postgresql://me@host/empty

The records are made up, in the sizes of real ones: models of 60 kernels with some 20 kB of IR each, traces of 1.5 kB,
five samples; a tenth failed, a twentieth is unchecked. The database at --url must be empty; it is left as it is.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from intbert.schedules.tuning_log import Conditions, Device, Record, TuningLog, Versions, Workload, open_log
from intbert.schedules.tuning_log.address import without_password
from intbert.schedules.tuning_log.lines import export_lines, import_lines
from peer_bench.machine import cpu_model
from peer_bench.repository import ROOT
from rich.console import Console
from rich.progress import track

BUILD = ROOT / "build" / "bench"
KERNELS = 60
MODELS = 20
REPEATS = 10
RECORDS, LINES = 1_000_000, 100_000
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
OPERATORS = ("linear", "attention", "layer_norm", "gelu", "embedding", "softmax")
KINDS = (
    ("rpi4", frozenset({"neon"}), Device("pi4", "Raspberry Pi 4 Model B Rev 1.5", "4x Cortex-A72", 4)),
    ("rpi5", frozenset({"neon", "dotprod"}), Device("pi5", "Raspberry Pi 5 Model B Rev 1.0", "4x Cortex-A76", 4)),
    ("orin", frozenset({"neon", "dotprod"}), Device("orin", "Jetson Orin Nano", "6x Cortex-A78AE", 6)),
)
RELEASES = ("0.27.0.post1", "0.28.0")
PI4, PI5 = KINDS[0][1], KINDS[1][1]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="an empty database; by default an SQLite file that is removed afterwards")
    parser.add_argument("--records", type=int, default=RECORDS, help=f"in the log (default {RECORDS})")
    parser.add_argument("--lines", type=int, default=LINES, help=f"to import (default {LINES})")
    parser.add_argument("--output", type=Path, default=BUILD / "tuning_log.json", help="the figures, as JSON")
    return parser.parse_args(arguments)


def workloads() -> list[Workload]:
    """The kernels of all models."""
    choose = random.Random(1)
    found = []
    for number in range(KERNELS * MODELS):
        nodes = [{"type": "tirx.Buffer", "data": {"axis": choose.getrandbits(40)}} for _ in range(300)]
        shape = f"128 x {choose.randrange(1, 4096)} x {choose.randrange(1, 4096)}, batch 1, length 128"
        hash = f"{choose.getrandbits(64):016x}"
        found.append(Workload(hash, json.dumps({"nodes": nodes}), OPERATORS[number % len(OPERATORS)], shape))
    return found


def records(number: int, kernels: Sequence[Workload], seed: int) -> Iterator[Record]:
    """So many records, drawn at random."""
    choose = random.Random(seed)
    spaces = [f"{choose.getrandbits(256):064x}" for _ in range(12)]
    for index in range(number):
        target, features, device = choose.choice(KINDS)
        instructions = [["SamplePerfectTile", [f"l{choose.getrandbits(16)}"], [2, 16], ["v1", "v2"]] for _ in range(24)]
        seconds = tuple(1e-3 * choose.lognormvariate(0, 0.5) * (1 + choose.random() / 50) for _ in range(5))
        failed = choose.random() < 0.1
        yield Record(
            workload=choose.choice(kernels),
            strategy=choose.choice(("dotprod", "register_tile", "plain")),
            trace=json.dumps([instructions, []]),
            seconds=() if failed else seconds,
            error="the build did not end within 60 s" if failed else None,
            threads=choose.choice((1, 4)),
            features=features,
            target=target,
            device=device,
            versions=Versions(choose.choice(RELEASES), "0.1.14.post1", "22.1.0", choose.choice(spaces)),
            tuned_at=START + timedelta(seconds=index),
            conditions=Conditions(1.5e9, 50 + 20 * choose.random(), "ondemand", choose.random() < 0.02),
            checked_by=None if choose.random() < 0.05 else "oracle",
            id=f"{choose.getrandbits(128):032x}",
        )


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def models(kernels: Sequence[Workload]) -> Iterator[list[str]]:
    """The hashes of one model after the other."""
    for first in range(0, REPEATS * KERNELS, KERNELS):
        yield [kernel.hash for kernel in kernels[first : first + KERNELS]]


def look_up(url: str, hashes: list[str], features: frozenset[str]) -> int:
    """What the compiler does for a model: opens the log, asks for the best records; how many there are."""
    with open_log(url, read_only=True) as log:
        return len(log.best(hashes, features=features, tvm=RELEASES[0], threads=4))


def measure(url: str, folder: Path, options: argparse.Namespace, console: Console) -> dict[str, float]:
    """The figures, in seconds."""
    kernels = workloads()
    figures: dict[str, float] = {}
    with open_log(url) as log:
        drawn = records(options.records, kernels, 2)
        shown = track(drawn, "filling", total=options.records, console=console, disable=not console.is_terminal)
        figures["fill"], added = timed(lambda: log.add_many(shown))
        assert added.new == options.records
        lines = write_lines(folder, kernels, options.lines)
    for name, features in (("pi4", PI4), ("pi5", PI5)):
        times = [timed(lambda h=hashes, f=features: look_up(url, h, f)) for hashes in models(kernels)]
        figures[f"open_and_best_{name}_first"] = times[0][0]
        figures[f"open_and_best_{name}_worst"] = max(seconds for seconds, _ in times)
        assert options.records < RECORDS or all(number == KERNELS for _, number in times)
    with open_log(url) as log:
        figures |= others(log, kernels)
        figures["import"], imported = timed(lambda: import_lines(log, lines))
        assert (imported.new, imported.bad) == (options.lines, 0)
        figures["import_again"], imported = timed(lambda: import_lines(log, lines))
        assert imported.known == options.lines
    return figures


def others(log: TuningLog, kernels: Sequence[Workload]) -> dict[str, float]:
    """What else a tuner or a user asks for."""
    hashes = [kernel.hash for kernel in kernels[:KERNELS]]
    suitable: dict[str, Any] = {"features": PI5, "tvm": RELEASES[0]}
    one = next(records(1, kernels, 4))
    return {
        "best_open_log": timed(lambda: log.best(hashes, threads=4, **suitable))[0],
        "top_16": timed(lambda: log.top(hashes[0], 16, threads=4, **suitable))[0],
        "thread_counts": timed(lambda: log.thread_counts(hashes, **suitable))[0],
        "near": timed(lambda: log.near(kernels[0], threads=4, **suitable))[0],
        "add_one": timed(lambda: log.add(one))[0],
        "newest_50": timed(lambda: list(log.records(last=50)))[0],
        "summary": timed(log.summary)[0],
        "bests": timed(log.bests)[0],
        "prune_plan": timed(lambda: log.prune(16))[0],
    }


def write_lines(folder: Path, kernels: Sequence[Workload], number: int) -> Path:
    """A file with lines to import."""
    path = folder / "lines.jsonl.gz"
    with open_log(folder / "lines.db") as log:
        log.add_many(records(number, kernels, 3))
        export_lines(log, path)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; 0 when the goals are reached."""
    options = parse(arguments)
    console = Console()
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        url = options.url or str(Path(folder) / "log.db")
        figures = measure(url, Path(folder), options, console)
        database = without_password(url).partition("://")[0] if "://" in url else "sqlite"
        size = Path(url).stat().st_size if options.url is None else None
    worst = max(figures["open_and_best_pi4_worst"], figures["open_and_best_pi5_worst"])
    goals = {"best of a model in less than 1 s": worst < 1, "100,000 lines in less than 60 s": figures["import"] < 60}
    document = {
        "database": database,
        "records": options.records,
        "lines": options.lines,
        "bytes": size,
        "seconds": figures,
        "goals": goals,
        "cpu": cpu_model(),
        "python": platform.python_version(),
    }
    options.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for name, seconds in figures.items():
        console.print(f"{name:24} {seconds:9.4f} s", highlight=False)
    for goal, reached in goals.items():
        console.print(f"{goal}: {'yes' if reached else 'NO'}", highlight=False)
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
