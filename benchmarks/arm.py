"""``make bench-arm``: instructions per inference on emulated Arm CPUs, this project beside other runtimes.

An emulator's times mean nothing, what it executes does. Every runtime runs its aarch64 wheel on the virtual board.
``python benchmarks/arm.py --only intbert --cpus cortex-a76 --lengths 128`` counts this project alone, kernel by kernel.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from arm_bench.artifacts import compiled
from arm_bench.board import Board
from arm_bench.contenders import PEERS, RUNTIMES, ours
from arm_bench.count import Count, count, spread
from arm_bench.cpus import CPUS, Cpu
from arm_bench.cycles import cycles_by_kernel
from arm_bench.emulator import get_emulator
from arm_bench.kernels import LIBRARY, instructions_by_kernel, kernel_calls, kernel_rows
from arm_bench.llvm import get_llvm
from arm_bench.peers import model_file, peers_site
from arm_bench.report import print_report
from arm_bench.rows import KernelRow, Row, merged, read_rows
from arm_bench.virtual_board import BUILD as BOARD_BUILD
from arm_bench.virtual_board import userland
from peer_bench.arguments import names_of, numbers
from peer_bench.artifacts import quantized_model
from peer_bench.contenders import Contender
from peer_bench.ending import exit_status
from peer_bench.errors import BenchmarkError
from peer_bench.models import MODELS, BenchmarkModel
from peer_bench.precisions import PRECISIONS
from peer_bench.ratios import OURS
from peer_bench.repository import BUILD, VENV
from peer_bench.rows import write_rows
from peer_bench.workspace import Workspace
from rich.console import Console


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])

    def choice(name: str, known: Sequence[str], default: Sequence[str], what: str) -> None:
        options = {"type": names_of(known), "default": list(default)}
        parser.add_argument(name, **options, help=f"{what}, of {', '.join(known)} (default {','.join(default)})")

    choice("--only", RUNTIMES, RUNTIMES, "runtimes")
    choice("--cpus", tuple(CPUS), tuple(CPUS), "CPUs")
    choice("--models", tuple(MODELS), ("minilm",), "models")
    choice("--precisions", tuple(PRECISIONS), ("W8A8",), "precisions of intbert")
    parser.add_argument("--lengths", type=numbers, default=[32, 128], help="tokens (default 32,128)")
    parser.add_argument("--repeats", type=int, default=1, help="processes a row (default 1)")
    parser.add_argument("--keep", action="store_true", help="keep what the output holds of other jobs")
    parser.add_argument("--output", type=Path, default=BUILD / "arm.json", help="the rows, as JSON")
    options = parser.parse_args(arguments)
    if options.repeats < 1 or min(options.lengths) < 3:
        parser.error("--repeats must be at least 1 and every length at least 3")
    return options


@contextmanager
def work_folder(name: str) -> Iterator[Path]:
    """A folder for one run's files; it stays when the run fails."""
    runs = BOARD_BUILD / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=runs))
    yield folder
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Job:
    """A model at a length on a CPU, each runtime ``repeats`` times."""

    model: BenchmarkModel
    length: int
    cpu: Cpu
    repeats: int


class Bench:
    """Counts contenders on one board."""

    def __init__(self, console: Console, with_peers: bool) -> None:
        self._console = console
        self._workspace = Workspace(BUILD, VENV)
        found = userland()
        emulator = get_emulator(BOARD_BUILD, console.print)
        self._llvm = get_llvm(BOARD_BUILD, console.print)
        self._board = Board(found, emulator)
        self._peers_board = Board(found, emulator, [peers_site(found)]) if with_peers else self._board

    def ours(self, job: Job, precision: str) -> Row:
        """This project's working tree at a precision."""
        contender = ours(precision)
        self._say(job, contender)
        with work_folder(f"{job.model.name}-{precision}-{job.cpu.name}") as work:
            model = quantized_model(self._workspace, job.model, PRECISIONS[precision])
            artifact = compiled(model, job.cpu, job.length, work)
            counts = self._counts(self._board, job, contender, artifact, work)
            calls = kernel_calls(self._board, job.cpu, artifact, job.length, work)
            instructions = instructions_by_kernel(counts[0], artifact)
            cycles = cycles_by_kernel(self._llvm, job.cpu, counts[0], artifact / LIBRARY)
            kernels = kernel_rows(instructions, cycles, calls, artifact, job.length)
            return _row(job, contender, counts, kernels)

    def peer(self, job: Job, contender: Contender) -> Row:
        """A peer's wheel on its own model file."""
        self._say(job, contender)
        with work_folder(f"{job.model.name}-{contender.name}-{job.cpu.name}") as work:
            model = model_file(self._workspace, job.model, contender)
            return _row(job, contender, self._counts(self._peers_board, job, contender, model, work))

    def _counts(self, board: Board, job: Job, contender: Contender, model: Path, work: Path) -> list[Count]:
        inputs = self._workspace.inputs_made_here(job.model, job.length)
        return [
            count(board, job.cpu, contender, model, inputs, job.length, work / str(number))
            for number in range(job.repeats)
        ]

    def _say(self, job: Job, contender: Contender) -> None:
        self._console.print(f"{job.model.name}, length {job.length}, {job.cpu.name}: {contender.name}")


def _row(job: Job, contender: Contender, counts: Sequence[Count], kernels: Sequence[KernelRow] = ()) -> Row:
    return Row(
        model=job.model.name, runtime=contender.runtime, precision=contender.precision, cpu=job.cpu.name,
        length=job.length, instructions=min(each.instructions for each in counts), spread=spread(counts),
        cosine=round(counts[0].cosine, 6), libraries=counts[0].libraries(), kernels=kernels,
        versions=counts[0].versions,
    )  # fmt: skip


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """Every combination that was asked for."""
    every = product(options.models, options.cpus, options.lengths)
    return [Job(MODELS[model], length, CPUS[cpu], options.repeats) for model, cpu, length in every]


def run(options: argparse.Namespace, console: Console) -> tuple[list[Row], list[str]]:
    """Count everything that was asked for; the rows, and what failed: one runtime does not stop the others."""
    peers = [peer.contender for peer in PEERS if peer.contender.runtime in options.only]
    precisions = options.precisions if OURS in options.only else []
    bench = Bench(console, bool(peers))
    rows = read_rows(options.output) if options.keep else []
    failures = []
    for job in jobs_of(options):
        counting = [partial(bench.ours, job, precision) for precision in precisions]
        for count_one in [*counting, *(partial(bench.peer, job, peer) for peer in peers)]:
            try:
                rows = merged(rows, [count_one()])
            except BenchmarkError as error:
                failures.append(str(error))
            write_rows(rows, options.output)
    return rows, failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 with one line on stderr, or 130 when interrupted."""
    options = parse(arguments)

    def work() -> int:
        rows, failures = run(options, Console(stderr=True))
        print_report(rows, Console(width=None if sys.stdout.isatty() else 140))
        print(f"{len(rows)} rows: {os.path.relpath(options.output)}")
        for failure in failures:
            print(f"bench-arm: {failure}", file=sys.stderr)
        return 1 if failures else 0

    return exit_status("bench-arm", work)


if __name__ == "__main__":
    sys.exit(main())
