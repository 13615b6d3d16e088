"""``intbert compile``: a quantized model -> an artifact."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options

if TYPE_CHECKING:
    from ..compiler.artifact import Manifest, StrategyRecord
    from ..compiler.tuned import TunedSchedules
    from ..targets.target import Target

_LAYER = re.compile(r"/layers\.\d+\.")


def register(app: typer.Typer) -> None:
    app.command("compile")(compile_)


def compile_(
    model: Annotated[Path, typer.Argument(help="A quantized model, as `intbert quantize` writes it.")],
    output: options.Output,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", help="host, or a name that `intbert targets` lists; by default that of --device."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAME", help="Compile for this board, and for what its GPU's driver loads."),
    ] = None,
    driver: Annotated[
        str | None,
        typer.Option(
            "--driver",
            metavar="RELEASE",
            help="CUDA release of the driver that is to load it, such as 12.6; by default that of --device.",
        ),
    ] = None,
    lengths: options.Lengths = None,
    batch: options.Batches = "1",
    log: Annotated[
        str | None,
        typer.Option("--log", envvar="INTBERT_LOG", metavar="URL", help="Use the schedules that `intbert tune` found."),
    ] = None,
    no_log: Annotated[
        bool, typer.Option("--no-log", help="Use the default schedules, whatever INTBERT_LOG is.")
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option("--threads", min=1, help="Of the log's records; by default one a core of the target."),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Compile a quantized model for a machine. An output that ends in .tar is packed into one file."""
    tokens = None if lengths is None else options.numbers(lengths)
    rows = options.numbers(batch)

    from ..compiler.artifact import artifact_bytes
    from ..compiler.deploy import deploy
    from ..compiler.model_files import load

    machine = _machine(target, device, driver)
    with console.steps() as step, _tuned(None if no_log else log, machine, threads) as tuned:
        manifest = deploy(
            load(model), machine, output=output, lengths=tokens, batches=rows, force=force, tuned=tuned, progress=step
        )
    size = artifact_bytes(output)
    if as_json:
        console.print_json(
            {
                "output": str(output),
                "target": manifest.target.name,
                "scheme": manifest.scheme,
                "buckets": [{"batch": bucket.batch, "length": bucket.length} for bucket in manifest.buckets],
                "artifact_bytes": size,
                "kernels": [asdict(entry) | {"schedule": _schedule(entry, tuned)} for entry in manifest.strategies],
            }
        )
    else:
        if tuned is not None:
            _print_schedules(manifest, tuned)
        machine_name = f"{manifest.target.name} ({manifest.target.arch})"
        print(f"{output}: {manifest.scheme} for {machine_name}, {size / 1e6:.1f} MB")


def _machine(target: str | None, device: str | None, driver: str | None) -> Target:
    """What to compile for: the target, with the release of the driver there as far as one is known."""
    from ..targets import get_target
    from ..targets.cuda import parse_release

    release = None if driver is None else parse_release(driver)
    if device is not None:
        from ..rpc.devices.inventory import Inventory
        from ..rpc.probing import driver_release

        board = Inventory().get(device)
        target, release = target or board.target, release or driver_release(board.facts.cuda)
    if target is None:
        raise typer.BadParameter("name what to compile for: --target, or --device")
    machine = get_target(target)
    if driver is not None and machine.cuda is None:
        raise typer.BadParameter(f"--driver is of GPUs, and {machine.name} has none")
    return machine.for_driver(release)


@contextmanager
def _tuned(log: str | None, target: Target, threads: int | None) -> Iterator[TunedSchedules | None]:
    """The schedules of the log; None where there is no log."""
    if log is None:
        yield None
        return
    from ..compiler.tuned import TunedSchedules
    from ..schedules.tuning_log import open_log

    with open_log(log, read_only=True) as opened:
        yield TunedSchedules(opened, target, threads, console.say)


def _schedule(entry: StrategyRecord, tuned: TunedSchedules | None) -> str:
    """What an operator's schedule is by."""
    if entry.tuning_record is None:
        return "default"
    return "estimated" if tuned is not None and entry.tuning_record in tuned.estimated else "measured"


def _print_schedules(manifest: Manifest, tuned: TunedSchedules) -> None:
    """Every operator of every bucket, layers as one row, with the record that it was scheduled by."""
    found = Counter(
        (_LAYER.sub("/layers.*.", each.operator), each.strategy, each.tuning_record, _schedule(each, tuned))
        for each in manifest.strategies
    )
    rows = [
        (operator, count, strategy, schedule if record is None else f"record {record[:8]}, {schedule}")
        for (operator, strategy, record, schedule), count in found.items()
    ]
    console.print_table(("operator", "calls", "strategy", "schedule"), rows)
    by_log = sum(entry.tuning_record is not None for entry in manifest.strategies)
    print(f"{by_log} of {len(manifest.strategies)} kernels are scheduled by the log, the others by default")
