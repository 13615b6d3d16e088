"""``intbert logs verify``: measures again what a log says is best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import boards, console, options

if TYPE_CHECKING:
    from ..rpc.tuning.verify import Verified

COLUMNS = ("record", "kernel", "strategy", "then us", "now us", "ratio", "")


def verify(
    model: Annotated[Path, typer.Argument(help="A quantized model whose kernels the log has records of.")],
    target: options.Target,
    log: options.Log,
    device: Annotated[str | None, typer.Option("--device", metavar="NAME", help="Measure on this board.")] = None,
    tracker: boards.Tracker = None,
    key: boards.Key = None,
    lengths: options.Lengths = None,
    batch: options.Batches = "1",
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Of the records to verify.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Kernels, those that take the most time first.")] = 10,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="A time that changed by more than this share has drifted.")
    ] = 0.1,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Measure the best records again: are they still right, and still as fast? Exits with 1 where not."""
    from ..compiler.build import choose_buckets
    from ..compiler.model_files import load
    from ..errors import TuningLogError
    from ..rpc.tuning.verify import verify as run
    from ..schedules.tuning_log import open_log
    from ..targets import get_target

    quantized = load(model)
    tokens = None if lengths is None else options.numbers(lengths)
    buckets = choose_buckets(quantized, tokens, options.numbers(batch))
    place, *_ = boards.places(boards.chosen(device, tracker, key), wait)
    with open_log(log, read_only=True) as opened, console.steps() as step:
        step("measuring")
        found = run(quantized, get_target(target), buckets, opened, place, sample=sample, threads=threads)
    if not found:
        raise TuningLogError(f"{log} has no record of a kernel of {model} for {target}; tune it first")
    drifted = [each for each in found if each.drifted(tolerance)]
    if as_json:
        console.print_json({"verified": [each.to_json() for each in found], "drifted": len(drifted)})
    else:
        console.print_table(COLUMNS, [_row(each, tolerance) for each in found])
        print(f"{len(drifted)} of {len(found)} drifted by more than {tolerance:.0%}, or are wrong")
    if drifted:
        raise typer.Exit(1)


def _row(verified: Verified, tolerance: float) -> tuple[object, ...]:
    record = verified.record
    return (
        record.id[:8],
        f"{record.workload.operator} {record.workload.shape}",
        record.strategy,
        (record.median_seconds or 0.0) * 1e6,
        None if verified.seconds is None else verified.seconds * 1e6,
        verified.ratio,
        verified.problem or ("drifted" if verified.drifted(tolerance) else ""),
    )
