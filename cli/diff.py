"""``intbert diff``: layer by layer difference between a float model and its quantized form."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from . import console, options

if TYPE_CHECKING:
    from ..compiler.model import QuantizedModel
    from ..quantization.difference.result import Difference
    from ..quantization.float_model import FloatModel

LIMIT = 64


def register(app: typer.Typer) -> None:
    app.command("diff")(diff)


def diff(
    first: Annotated[Path, typer.Argument(help="A float checkpoint or a quantized model.")],
    second: Annotated[Path, typer.Argument(help="The other one; in either order.")],
    data: Annotated[Path, typer.Option("--data", help="A text file, one sentence a line, or a GLUE folder.")],
    task: Annotated[str | None, typer.Option("--task", help="Of a GLUE folder: sst2, stsb or cola.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Only the first sentences.")] = LIMIT,
    threshold: Annotated[
        float | None, typer.Option("--sqnr", help="A layer whose own error leaves fewer dB is bad; by default 8.")
    ] = None,
    max_length: Annotated[int, typer.Option("--max-length", min=2, help="Cut sentences to so many tokens.")] = 128,
    as_json: options.Json = False,
) -> None:
    """Show where a quantized model differs from its float original, and name the first bad layer."""
    from ..quantization.difference.compare import DEFAULT_THRESHOLD_DB, difference, difference_batches

    one, other = _load(first), _load(second)
    texts = _texts(data, task)[:limit]
    threshold = DEFAULT_THRESHOLD_DB if threshold is None else threshold
    batches = difference_batches((one, other), texts, max_length)
    found = difference(one, other, batches, threshold, console.progress)
    if as_json:
        console.print_json(asdict(found))
    else:
        _print(found)


def _load(path: Path) -> FloatModel | QuantizedModel:
    from ..compiler.artifact import MANIFEST_FILE
    from ..compiler.model_files import DESCRIPTION_FILE, load
    from ..quantization import load_float_model

    if path.is_file() or (path / MANIFEST_FILE).is_file():
        raise InputError(f"{path} is an artifact, which keeps no layer's values; give the quantized model of it")
    return load(path) if (path / DESCRIPTION_FILE).is_file() else load_float_model(path)


def _texts(data: Path, task: str | None) -> list[str]:
    from ..quantization import read_sentences
    from ..quantization.glue import get_task, read_examples

    if task is not None:
        return [text for example in read_examples(get_task(task), data) for text in example.sentences]
    if data.is_dir():
        raise InputError(f"{data} is a folder; say which GLUE task to read from it with --task")
    return read_sentences(data)


def _print(found: Difference) -> None:
    console.print_table(
        ("activation", "SQNR dB", "cosine", "max error", "own dB", "grid dB"),
        [
            (
                layer.name,
                _decibels(layer.accumulated.row_sqnr_db),
                f"{layer.accumulated.cosine:.5f}",
                f"{layer.accumulated.max_error:.3g}",
                _decibels(layer.own.row_sqnr_db),
                "" if layer.grid_sqnr_db is None else _decibels(layer.grid_sqnr_db),
            )
            for layer in found.layers
        ],
        title="Activations, in the order in which they run. Own: where the layer reads the reference's values; "
        "grid: what rounding to its integers allows.",
    )
    print()
    console.print_table(
        ("weight", "bits", "SQNR dB", "cosine", "max error"),
        [
            (
                w.name,
                w.bits,
                _decibels(w.agreement.sqnr_db),
                f"{w.agreement.cosine:.5f}",
                f"{w.agreement.max_error:.3g}",
            )
            for w in found.weights
        ],
        title="Weights",
    )
    print()
    bad = found.first_bad
    if bad is None:
        print(f"No bad layer: every one keeps {found.threshold_db:g} dB or more when it reads the reference's values.")
    else:
        operators = " and ".join(bad.operators)
        print(f"First bad layer: {bad.name}, computed by {operators}: {bad.sqnr_db:.1f} dB of its own; {bad.cause}.")


def _decibels(value: float) -> str:
    return f"{value:.1f}"
