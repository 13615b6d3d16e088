"""``intbert finetune``: a float checkpoint and a task -> a float checkpoint with a head for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from . import console, options


def register(app: typer.Typer) -> None:
    app.command("finetune")(finetune)


def finetune(
    folder: Annotated[Path, typer.Argument(help="A Hugging Face or sentence-transformers checkpoint.")],
    task: Annotated[str, typer.Option("--task", help="sst2, stsb or cola.")],
    data: Annotated[Path, typer.Option("--data", help="A GLUE folder: SST-2/train.tsv, SST-2/dev.tsv, ...")],
    output: options.Output,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Train on so many examples; 0: all.")] = 0,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over them.")] = 3,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="After the warm-up.")] = 5e-5,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Examples a step.")] = 32,
    max_length: Annotated[int, typer.Option("--max-length", min=3, help="Cut texts to so many tokens.")] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the head, the subset and the order.")] = 0,
    work: Annotated[
        Path | None, typer.Option("--work", help="Keeps checkpoints; by default beside the output.")
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Fine-tune a float checkpoint on a task. Run again after an interruption, it goes on where it was."""
    from ..compiler.staging import FINETUNING_FILE, staged_folder
    from ..quantization.checkpoint_writer import save_float_model
    from ..quantization.request import Training
    from ..quantization.training.finetune import finetune as finetune_model
    from ..quantization.training.options import TrainingOptions

    chosen = TrainingOptions(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_length=max_length,
        limit=limit,
    )
    checkpoints = work or output.with_name(f"{output.name}.work")
    with staged_folder(output, force) as staging:
        model, record = finetune_model(folder, Training(task, data, checkpoints, seed), chosen, console.progress)
        save_float_model(model, staging)
        (staging / FINETUNING_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    score = record["development"]
    if as_json:
        console.print_json({"output": str(output), "task": task, "seed": seed, **score})
    else:
        print(f"{output}: {task}, {score['metric']} {score['value']:.4f} on {score['n']} examples")
