"""``intbert import``: a model that was quantized elsewhere -> a quantized model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.onnx|FOLDER",
            help="A quantized ONNX graph (QDQ or dynamic int8) with config.json beside it, or an I-BERT checkpoint.",
        ),
    ],
    output: options.Output,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Import a model that was quantized elsewhere: its integers, scales and zero points as they are."""
    from ..compiler.artifact import artifact_bytes
    from ..compiler.model_files import save
    from ..compiler.staging import staged_folder
    from ..quantization import import_quantized

    with staged_folder(output, force) as staging:
        model = import_quantized(source)
        save(model, staging)
    size, notes = artifact_bytes(output), list(model.provenance.get("notes", ()))
    if as_json:
        console.print_json({"output": str(output), "scheme": model.scheme, "bytes": size, "notes": notes})
        return
    for note in notes:
        console.say(f"note: {note}")
    print(f"{output}: {model.scheme}, {model.architecture.layers} layers, {size / 1e6:.1f} MB")
