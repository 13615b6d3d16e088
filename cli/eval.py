"""``intbert eval``: accuracy of a float checkpoint, a quantized model or an artifact."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import boards, console, options


def register(app: typer.Typer) -> None:
    app.command("eval")(eval_)


def eval_(
    model: Annotated[Path, typer.Argument(help="A float checkpoint, a quantized model or an artifact.")],
    task: Annotated[str, typer.Option("--task", help="sst2, stsb or cola.")],
    data: Annotated[Path, typer.Option("--data", help="A GLUE folder: STS-B/dev.tsv, SST-2/dev.tsv, ...")],
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first examples.")] = None,
    threads: options.Threads = None,
    device: boards.Device = None,
    tracker: boards.Tracker = None,
    key: boards.Key = None,
    wait: boards.Wait = boards.WAIT_SECONDS,
    as_json: options.Json = False,
) -> None:
    """Measure accuracy on a GLUE task's development set; with --device, of an artifact on the board."""
    from ..quantization.evaluation import evaluate
    from .predictors import predictor

    with predictor(model, threads, boards.chosen(device, tracker, key), wait) as subject:
        score = evaluate(task, data, subject.predict, limit, console.progress, subject.head)
    if as_json:
        console.print_json(asdict(score))
    else:
        print(f"{score.task}: {score.metric} {score.value:.4f} on {score.n} examples ({subject.kind})")
