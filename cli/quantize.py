"""``intbert quantize``: a float checkpoint -> a quantized model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from . import console, options


class _Command(TyperCommand):
    """Its help ends with the methods that are registered."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from ..quantization.methods import METHODS

        lines = (f"{name}: {method.scheme.description}" for name, method in METHODS.items())
        self.epilog = "\n\n".join(["Methods:", *lines])
        super().format_help(ctx, formatter)


def register(app: typer.Typer) -> None:
    app.command("quantize", cls=_Command)(quantize)


def quantize(
    folder: Annotated[Path, typer.Argument(help="A Hugging Face checkpoint: config.json, model.safetensors.")],
    calibrate: Annotated[Path, typer.Option("--calibrate", help="Sentences to calibrate on: UTF-8, one a line.")],
    output: options.Output,
    method: Annotated[str, typer.Option("--method", help="The quantization scheme; listed below.")] = "ibert",
    calibration: Annotated[
        str, typer.Option("--calibration", help="Ranges of activations: percentile, min-max or ema.")
    ] = "percentile",
    max_length: Annotated[
        int, typer.Option("--max-length", min=2, help="Cut calibration sentences to so many tokens.")
    ] = 128,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Quantize a float checkpoint."""
    from ..compiler.artifact import artifact_bytes
    from ..compiler.model import save
    from ..compiler.staging import staged_folder
    from ..quantization import quantize as quantize_model
    from ..quantization import read_sentences

    sentences = read_sentences(calibrate)
    with staged_folder(output, force) as staging:
        model = quantize_model(
            folder,
            method=method,
            sentences=sentences,
            calibration=calibration,
            max_length=max_length,
            progress=console.progress,
        )
        save(model, staging)
    size = artifact_bytes(output)
    if as_json:
        console.print_json({"output": str(output), "scheme": model.scheme, "sentences": len(sentences), "bytes": size})
    else:
        print(f"{output}: {model.scheme}, {len(sentences)} calibration sentences, {size / 1e6:.1f} MB")
