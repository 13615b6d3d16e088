"""``make bench-peers``: this project and other runtimes, side by side in one run.

Every runtime has a process of its own and takes short turns with the others; only one computes at a time.
They all do the same job: token ids of exactly the given length -> the states of the last layer, for
MiniLM with their mean over the tokens. Each row says how well its output agrees with PyTorch's in float32.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from peer_bench.arguments import names_of, numbers
from peer_bench.contenders import RUNTIMES, Contender, contenders
from peer_bench.ending import exit_status
from peer_bench.machine import cpu_features, cpus_for
from peer_bench.measure import Entry, Plan, measure
from peer_bench.models import MODELS, BenchmarkModel
from peer_bench.progress import shown_progress
from peer_bench.report import print_report
from peer_bench.repository import BENCHMARKS, BUILD, VENV
from peer_bench.rows import Row, write_rows
from peer_bench.workspace import Workspace
from rich.console import Console

QUICK = ("--models", "minilm", "--lengths", "128", "--threads", "1", "--runs", "40")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    models, runtimes = tuple(MODELS), RUNTIMES
    parser.add_argument("--models", type=names_of(models), default=list(models), help=f"of {', '.join(models)}")
    parser.add_argument("--runtimes", type=names_of(runtimes), default=list(runtimes), help=f"of {', '.join(runtimes)}")
    parser.add_argument("--lengths", type=numbers, default=[16, 32, 128, 384], help="tokens (default 16,32,128,384)")
    parser.add_argument("--batches", type=numbers, default=[1], help="rows of an inference (default 1)")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="threads (default 1,2)")
    parser.add_argument("--runs", type=int, default=150, help="measured runs a row (default 150)")
    parser.add_argument("--output", type=Path, default=BUILD / "peers.json", help="the rows, as JSON")
    parser.add_argument("--quick", action="store_true", help=f"a minute: {' '.join(QUICK)}, unless given otherwise")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args([*QUICK, *given] if "--quick" in given else given)
    if options.runs < 1 or min(options.lengths) < 3:
        parser.error("--runs must be at least 1 and every length at least 3")
    return options


def prepared(
    workspace: Workspace, model: BenchmarkModel, contender: Contender, lengths: Sequence[int], batch: int
) -> Entry:
    """The contender with its model file, made now when it is not in the cache."""
    if not contender.is_peer:
        return Entry(contender, Path(sys.executable), workspace.artifact(model, lengths, batch))
    folder = workspace.peer_folder(model, contender.runtime)
    return Entry(contender, workspace.peers_python, folder / contender.model_file)


def run(options: argparse.Namespace, console: Console) -> list[Row]:
    """Prepare everything, then measure every model with every number of threads."""
    chosen = contenders(options.runtimes, cpu_features())
    for threads in options.threads:
        cpus_for(threads)  # too many: say so now, not after minutes
    workspace = Workspace(BUILD, VENV)
    jobs = len(options.models) * len(options.batches) * len(options.threads) * len(options.lengths) * len(chosen)
    rows: list[Row] = []
    with shown_progress(console, jobs * options.runs) as advance:
        plans: list[Plan] = []
        for name, batch in product(options.models, options.batches):
            model, entries = MODELS[name], []
            for contender in chosen:
                advance(f"{model.name}: preparing {contender.name}", 0)
                entries.append(prepared(workspace, model, contender, options.lengths, batch))
            inputs = workspace.inputs(model, options.lengths)
            plans += [Plan(model, entries, inputs, options.lengths, n, options.runs, batch) for n in options.threads]
        for plan in plans:
            rows += measure(plan, BUILD / "logs", BENCHMARKS, advance)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 with one line on stderr, or 130 when interrupted."""
    options = parse(arguments)

    def work() -> int:
        rows = run(options, Console(stderr=True))
        write_rows(rows, options.output)
        print_report(rows, Console(width=None if sys.stdout.isatty() else 160))
        print(f"{len(rows)} rows: {os.path.relpath(options.output)}")
        return 0

    return exit_status("bench-peers", work)


if __name__ == "__main__":
    sys.exit(main())
