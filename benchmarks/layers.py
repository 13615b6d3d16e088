"""``make bench-layers``: one encoder layer at every precision, beside the same layer in float32 by other runtimes."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from intbert.errors import TargetError
from intbert.targets import HOST, get_target
from intbert.targets.target import Target
from layer_bench.measure import LayerPlan, measure_layers
from layer_bench.models import DEEP, LAYERS, SHALLOW, model_of_depth
from layer_bench.report import print_report
from layer_bench.rows import LayerRow
from peer_bench.arguments import names_of, numbers
from peer_bench.artifacts import compiled_artifact
from peer_bench.contenders import CONTENDERS, Contender, at_precision
from peer_bench.ending import exit_status
from peer_bench.machine import cpus_for
from peer_bench.measure import Entry, Plan, Progress
from peer_bench.models import BenchmarkModel
from peer_bench.precisions import PRECISIONS
from peer_bench.progress import shown_progress
from peer_bench.ratios import OURS
from peer_bench.repository import BUILD, VENV
from peer_bench.rows import write_rows
from peer_bench.workspace import Workspace
from rich.console import Console

PEERS = [each for each in CONTENDERS if each.is_peer and each.precision == "fp32"]
DEFAULT_PRECISIONS = ("W8A8", "W4A8", "W4A4", "W2A8", "W1A8", "W1A4")
QUICK = ("--models", "minilm", "--lengths", "128", "--precisions", "W8A8,W1A4", "--runs", "60")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])

    def choice(name: str, known: Sequence[str], default: Sequence[str], what: str) -> None:
        help = f"{what}, of {', '.join(known)} (default {','.join(default)})"
        parser.add_argument(name, type=names_of(known), default=list(default), help=help)

    runtimes = [each.runtime for each in PEERS]
    choice("--models", tuple(LAYERS), tuple(LAYERS), "layers")
    parser.add_argument(
        "--runtimes", type=names_of(runtimes),
        help=f"peers, in float32, of {', '.join(runtimes)} (default all; none where --target is given: "
        "they use all that this CPU has)",
    )  # fmt: skip
    choice("--precisions", tuple(PRECISIONS), DEFAULT_PRECISIONS, "precisions of intbert")
    parser.add_argument(
        "--target", type=target_that_runs_here, default=HOST,
        help="what intbert compiles for: a target whose code this CPU runs (default host)",
    )  # fmt: skip
    parser.add_argument("--lengths", type=numbers, default=[32, 128], help="tokens (default 32,128)")
    parser.add_argument("--threads", type=numbers, default=[1], help="threads (default 1)")
    parser.add_argument("--runs", type=int, default=150, help="measured runs of each model (default 150)")
    parser.add_argument("--quick", action="store_true", help=f"a slice: {' '.join(QUICK)}, unless given otherwise")
    parser.add_argument("--output", type=Path, default=BUILD / "layers.json", help="the rows, as JSON")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args([*QUICK, *given] if "--quick" in given else given)
    if options.runs < 1 or min(options.lengths) < 3:
        parser.error("--runs must be at least 1 and every length at least 3")
    if options.runtimes is None:
        options.runtimes = runtimes if options.target.name == HOST else []
    return options


def target_that_runs_here(name: str) -> Target:
    """The target of this name, if this machine can run what is compiled for it."""
    try:
        target, here = get_target(name), get_target(HOST)
    except TargetError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if target.arch != here.arch or not target.features <= here.features or target.cuda is not None:
        raise argparse.ArgumentTypeError(f"{name}: this CPU does not run its code")
    return target


def prepared(
    workspace: Workspace, model: BenchmarkModel, contender: Contender, lengths: Sequence[int], target: Target
) -> Entry:
    """The contender with its model file, made now when it is not in the cache."""
    if not contender.is_peer:
        artifact = compiled_artifact(workspace, model, PRECISIONS[contender.precision], lengths, target)
        return Entry(contender, Path(sys.executable), artifact)
    folder = workspace.peer_folder(model, contender.runtime)
    return Entry(contender, workspace.peers_python, folder / contender.model_file)


def plan_of(options: argparse.Namespace, name: str, threads: int, progress: Progress) -> LayerPlan:
    """Both depths of a model with all contenders."""
    workspace = Workspace(BUILD, VENV)
    chosen = [at_precision(OURS, precision) for precision in options.precisions]
    chosen += [peer for peer in PEERS if peer.runtime in options.runtimes]
    depths = {}
    for depth in (SHALLOW, DEEP):
        model, entries = model_of_depth(name, depth), []
        for contender in chosen:
            progress(f"{model.name}: preparing {contender.name}", 0)
            entries.append(prepared(workspace, model, contender, options.lengths, options.target))
        inputs = workspace.inputs(model, options.lengths)
        depths[depth] = Plan(model, entries, inputs, options.lengths, threads, options.runs)
    return LayerPlan(name, options.target.name, depths)


def run(options: argparse.Namespace, console: Console) -> list[LayerRow]:
    """Prepare and measure one model after the other."""
    for threads in options.threads:
        cpus_for(threads)  # too many: say so now, not after minutes
    workers = 2 * (len(options.precisions) + len(options.runtimes))
    total = len(options.models) * len(options.threads) * len(options.lengths) * workers * options.runs
    rows: list[LayerRow] = []
    with shown_progress(console, total) as progress:
        plans = [plan_of(options, name, threads, progress) for name in options.models for threads in options.threads]
        for plan in plans:
            rows += measure_layers(plan, BUILD / "logs", progress)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 with one line on stderr, or 130 when interrupted."""
    options = parse(arguments)

    def work() -> int:
        rows = run(options, Console(stderr=True))
        write_rows(rows, options.output)
        print_report(rows, Console(width=None if sys.stdout.isatty() else 140))
        print(f"{len(rows)} rows: {os.path.relpath(options.output)}")
        return 0

    return exit_status("bench-layers", work)


if __name__ == "__main__":
    sys.exit(main())
