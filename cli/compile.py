"""``intbert compile``: a quantized model -> an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def register(app: typer.Typer) -> None:
    app.command("compile")(compile_)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 32,128") from None
    if min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise typer.BadParameter(f"{text!r}: positive numbers, each once")
    return numbers


def compile_(
    model: Annotated[Path, typer.Argument(help="A quantized model, as `intbert quantize` writes it.")],
    target: Annotated[str, typer.Option("--target", "-t", help="host, or a name that `intbert targets` lists.")],
    output: options.Output,
    lengths: Annotated[
        str | None,
        typer.Option("--lengths", metavar="N,...", help="Tokens a bucket holds; by default 32,64,128,256."),
    ] = None,
    batch: Annotated[str, typer.Option("--batch", metavar="N,...", help="Rows a bucket holds.")] = "1",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Compile a quantized model for a machine. An output that ends in .tar is packed into one file."""
    tokens = None if lengths is None else _numbers(lengths)
    rows = _numbers(batch)

    from ..compiler.artifact import artifact_bytes
    from ..compiler.deploy import deploy
    from ..compiler.model_files import load
    from ..targets import get_target

    machine = get_target(target)
    with console.steps() as step:
        manifest = deploy(load(model), machine, output=output, lengths=tokens, batches=rows, force=force, progress=step)
    size = artifact_bytes(output)
    if as_json:
        console.print_json(
            {
                "output": str(output),
                "target": manifest.target.name,
                "scheme": manifest.scheme,
                "buckets": [{"batch": bucket.batch, "length": bucket.length} for bucket in manifest.buckets],
                "artifact_bytes": size,
            }
        )
    else:
        machine_name = f"{manifest.target.name} ({manifest.target.arch})"
        print(f"{output}: {manifest.scheme} for {machine_name}, {size / 1e6:.1f} MB")
