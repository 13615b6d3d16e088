"""``intbert run``: sentences -> the artifact's output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import boards, console, options


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    artifact: Annotated[Path, typer.Argument(help="An artifact, as `intbert compile` writes it.")],
    sentences: Annotated[list[str], typer.Argument(help="The sentences.")],
    pairs: Annotated[bool, typer.Option("--pairs", help="Take the sentences two by two, as pairs.")] = False,
    integers: Annotated[
        bool, typer.Option("--integers", help="Print the integers themselves, and their scale.")
    ] = False,
    truncate: options.Truncate = False,
    threads: options.Threads = None,
    device: boards.Device = None,
    tracker: boards.Tracker = None,
    key: boards.Key = None,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Run an artifact on sentences, on this machine or on a board."""
    if pairs and len(sentences) % 2:
        raise typer.BadParameter(f"--pairs needs an even number of sentences, got {len(sentences)}")

    texts = list(zip(sentences[::2], sentences[1::2], strict=True)) if pairs else sentences
    place = boards.chosen(device, tracker, key)
    with boards.loaded(artifact, threads, place, wait) as (model, where):
        outputs = model.run_texts(texts, truncate=truncate)
        if not integers:
            outputs = model.to_float(outputs)
    if as_json:
        scale = {"scale": model.manifest.output.scale} if integers else {}
        board = {} if where is None else {"device": where}
        console.print_json(
            {"outputs": outputs.tolist(), "shape": list(outputs.shape), "dtype": str(outputs.dtype), **scale, **board}
        )
        return
    console.print_table(
        ("text", "output"),
        [(" | ".join(t) if isinstance(t, tuple) else t, _preview(o)) for t, o in zip(texts, outputs, strict=True)],
        title=f"{outputs.dtype} {list(outputs.shape)}" + ("" if where is None else f" from {where}"),
    )


def _preview(output: object) -> str:
    import numpy as np

    return np.array2string(np.asarray(output), precision=4, threshold=8, edgeitems=3)
