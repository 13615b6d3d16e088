"""``intbert bench``: latency and memory of an artifact on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    artifact: Annotated[Path, typer.Argument(help="An artifact, as `intbert compile` writes it.")],
    length: Annotated[
        int | None, typer.Option("--length", min=1, help="Tokens; by default the longest bucket.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Rows of one inference.")] = 1,
    threads: options.Threads = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Measured inferences.")] = 100,
    warmup: Annotated[int, typer.Option("--warmup", min=0, help="Inferences before the measured ones.")] = 10,
    as_json: options.Json = False,
) -> None:
    """Measure an artifact on this machine, in a process of its own."""
    from ..compiler.measure import Request, measure

    result = asdict(measure(Request(str(artifact), length, batch, threads, runs, warmup)))
    if as_json:
        console.print_json(result)
    else:
        console.print_table(("", ""), [(name, console.cell(value)) for name, value in result.items()])
