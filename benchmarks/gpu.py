"""``make bench-gpu``: models and one encoder layer on this machine's NVIDIA card, beside what else runs there.

Peers are those of this environment that find the card: TensorRT and CUDA of ONNX Runtime (onnxruntime-gpu), PyTorch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from gpu_bench.card import target_for
from gpu_bench.contenders import OUR_CONTENDER, available_runtimes, peers_of
from gpu_bench.prepare import at_precisions, plan_of
from gpu_bench.report import print_report
from gpu_bench.watch import Watch
from intbert.compiler.runtime.driver import FoundGpu, found_gpu
from intbert.errors import ArtifactError
from intbert.rpc.telemetry import GPU, Sensors
from layer_bench.measure import LayerPlan, measure_layers
from layer_bench.models import DEEP, LAYERS, SHALLOW, model_of_depth
from layer_bench.rows import LayerRow
from peer_bench.arguments import names_of, numbers
from peer_bench.contenders import Contender
from peer_bench.ending import exit_status
from peer_bench.measure import Progress, measure
from peer_bench.models import MODELS
from peer_bench.precisions import PRECISIONS
from peer_bench.progress import shown_progress
from peer_bench.repository import BENCHMARKS, BUILD, VENV
from peer_bench.rows import Row, write_rows
from peer_bench.workspace import Workspace
from rich.console import Console

NO_CARD = 2
"""The exit status where there is nothing to measure on."""
LAYER_SHAPE = (128, 1)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])

    def choice(name: str, known: Sequence[str], default: Sequence[str], what: str) -> None:
        help = f"{what}, of {', '.join(known)} (default {','.join(default)})"
        parser.add_argument(name, type=names_of(known), default=list(default), help=help)

    choice("--models", tuple(MODELS), tuple(MODELS), "models")
    choice("--layers", tuple(LAYERS), tuple(LAYERS), "models of which one layer is measured by itself")
    choice("--layer-precisions", tuple(PRECISIONS), ("W8A8", "W4A8", "W4A4"), "precisions of that layer")
    parser.add_argument("--lengths", type=numbers, default=[32, 128], help="tokens (default 32,128)")
    parser.add_argument("--batches", type=numbers, default=[1, 8, 32], help="rows (default 1,8,32)")
    parser.add_argument("--runs", type=int, default=100, help="measured runs of each (default 100)")
    parser.add_argument("--output", type=Path, default=BUILD / "gpu.json", help="the rows, as JSON")
    options = parser.parse_args(arguments)
    if options.runs < 1 or min(options.lengths) < 3:
        parser.error("--runs must be at least 1 and every length at least 3")
    return options


def run(options: argparse.Namespace, card: FoundGpu, advance: Progress) -> tuple[list[Row], list[LayerRow]]:
    """Prepare and measure one job after the other: the models' rows, and the layers'."""
    workspace, target = Workspace(BUILD, VENV), target_for(card)
    peers = peers_of(available_runtimes())
    rows: list[Row] = []
    for name, length, batch in product(options.models, options.lengths, options.batches):
        advance(f"{name}: preparing {batch} x {length}", 0)
        plan = plan_of(workspace, MODELS[name], [OUR_CONTENDER, *peers], (length, batch), target, options.runs)
        rows += [replace(row, cpu=str(card), features=()) for row in measure(plan, BUILD / "logs", BENCHMARKS, advance)]
    contenders = [*at_precisions(OUR_CONTENDER, options.layer_precisions), *_floats(peers)]
    layers: list[LayerRow] = []
    for name in options.layers:
        advance(f"a layer of {name}: preparing", 0)
        depths = {
            depth: plan_of(workspace, model_of_depth(name, depth), contenders, LAYER_SHAPE, target, options.runs)
            for depth in (SHALLOW, DEEP)
        }
        found = measure_layers(LayerPlan(name, target.name, depths), BUILD / "logs", advance)
        layers += [replace(row, cpu=str(card), features=()) for row in found]
    return rows, layers


def _floats(peers: Sequence[Contender]) -> list[Contender]:
    return [peer for peer in peers if peer.precision == "fp32"]


def runs_in_all(options: argparse.Namespace, peers: int) -> int:
    """Of the progress bar, at most."""
    models = len(options.models) * len(options.lengths) * len(options.batches) * (1 + peers)
    layers = 2 * len(options.layers) * (len(options.layer_precisions) + peers)
    return (models + layers) * options.runs


def main(arguments: Sequence[str] | None = None, find: Callable[[str], FoundGpu] = found_gpu) -> int:
    """Exit status: 0, 1 with one line on stderr, 2 where there is no card, or 130 when interrupted."""
    options = parse(arguments)
    try:
        card = find("nothing was measured: that needs an NVIDIA card")
    except ArtifactError as error:
        print(f"bench-gpu: {error}", file=sys.stderr)
        return NO_CARD

    def work() -> int:
        total = runs_in_all(options, len(peers_of(available_runtimes())))
        with shown_progress(Console(stderr=True), total) as advance:
            watch = Watch(advance, Sensors(processor=GPU))
            rows, layers = run(options, card, watch)
        write_rows([*rows, *layers], options.output)
        print_report(rows, layers, f"{card}\n{watch.summary()}", Console(width=None if sys.stdout.isatty() else 160))
        print(f"{len(rows)} rows and {len(layers)} of layers: {os.path.relpath(options.output)}")
        return 0

    return exit_status("bench-gpu", work)


if __name__ == "__main__":
    sys.exit(main())
