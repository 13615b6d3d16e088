"""``intbert tune``: a quantized model -> measured schedules for its kernels, in a tuning log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import boards, console, options
from .tuning_display import columns, display, rows, summary

if TYPE_CHECKING:
    from ..compiler.estimation import Meter
    from ..rpc.tuning.progress import Progress
    from ..targets.target import Target


INTERRUPTED = 130
"""The exit status of a program that an interrupt ended (POSIX: 128 and the signal)."""


class CostModel(str, Enum):
    """What a candidate's time is by."""

    XGBOOST = "xgboost"
    STATIC = "static"


def register(app: typer.Typer) -> None:
    app.command("tune")(tune)


def tune(
    model: Annotated[Path, typer.Argument(help="A quantized model, as `intbert quantize` writes it.")],
    target: options.Target,
    log: options.Log,
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="Candidates to measure in all; those of earlier runs count.")
    ] = 200,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAMES", help="Measure on these boards at once: pi, or pi,pi2.")
    ] = None,
    tracker: boards.Tracker = None,
    key: boards.Key = None,
    lengths: options.Lengths = None,
    batch: options.Batches = "1",
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of a CPU's kernel; by default one a core of the target.")
    ] = None,
    cost_model: Annotated[
        CostModel,
        typer.Option(
            "--cost-model",
            help="xgboost: every candidate is measured. static: times are estimated from the code, without a board.",
        ),
    ] = CostModel.XGBOOST,
    seed: Annotated[int, typer.Option("--seed", min=1, help="Of the search.")] = 1,
    warm_start: Annotated[
        bool,
        typer.Option("--warm-start/--no-warm-start", help="Try first what was best for near shapes and processors."),
    ] = True,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Search faster schedules for a model's kernels, measured here or on boards; `compile --log` uses them.

    Every trial is in the log before the next one begins: a run that was cut off goes on where it stopped.
    """
    with _ended_by_an_interrupt():
        from ..compiler.build import choose_buckets
        from ..compiler.model_files import load
        from ..rpc.tuning.run import tune as run
        from ..rpc.tuning.settings import Settings
        from ..schedules.tuning_log import open_log
        from ..targets import get_target

        tokens = None if lengths is None else options.numbers(lengths)
        rows_of_buckets = options.numbers(batch)
        machine = get_target(target)
        if machine.cuda is not None and threads is not None:
            raise typer.BadParameter("--threads is of CPUs; how many a GPU's kernel has is part of its schedule")
        quantized = load(model)
        buckets = choose_buckets(quantized, tokens, rows_of_buckets)
        settings = Settings(trials=trials, threads=threads or machine.kernel_threads, seed=seed, warm_start=warm_start)
        chosen = boards.chosen(device, tracker, key)
        meter = None if cost_model is CostModel.XGBOOST else _meter(machine)
        places = [] if meter is not None and chosen is None and not _runs_here(machine) else boards.places(chosen, wait)
        estimated_by = None if meter is None else meter.name
        with open_log(log) as opened, display(trials, estimated_by) as tell:
            found = run(quantized, machine, buckets, opened, places, settings, tell, meter)
    if as_json:
        console.print_json(_document(found, estimated_by, checked=bool(places)))
        return
    console.print_table(columns(estimated_by), rows(found))
    print(summary(found, estimated_by))
    if not places:
        print(f"nothing was run: {log} keeps unchecked estimates, which compile leaves aside; see docs/tuning.md")
        return
    print(f"use it: intbert compile {model} --target {target} --log {log} -o OUTPUT")


@contextmanager
def _ended_by_an_interrupt() -> Iterator[None]:
    """An interrupt in the block ends the command with a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        console.say("intbert: interrupted; what was measured is in the log, and the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None


def _meter(target: Target) -> Meter:
    from ..compiler.estimation import best_meter

    target.require_cpu("estimated from their code")
    return best_meter(target)


def _runs_here(target: Target) -> bool:
    """Whether this machine can run code for the target, and so can check what it computes."""
    from ..targets.features import host_arch, host_features

    return target.arch == host_arch() and target.features <= host_features()


def _document(found: Sequence[Progress], estimated_by: str | None, checked: bool) -> dict[str, Any]:
    return {
        "source": "measured" if estimated_by is None else "estimated",
        "estimated_by": estimated_by,
        "checked": checked,
        "tasks": [each.to_json() for each in found],
    }
