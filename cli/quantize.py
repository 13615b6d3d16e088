"""``intbert quantize``: a float checkpoint -> a quantized model."""

from __future__ import annotations

import json
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from . import console, options

if TYPE_CHECKING:
    from ..quantization.methods import Method
    from ..quantization.request import Training


class _Granularity(str, Enum):
    """Those of :class:`intbert.quantization.scheme.Granularity`, whose module loads NumPy."""

    ROW = "row"
    TENSOR = "tensor"


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
    output: options.Output,
    method: Annotated[str, typer.Option("--method", help="The quantization method; listed below.")] = "ibert",
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            help="Sentences to calibrate on: UTF-8, one a line; by default some of the task's training set.",
        ),
    ] = None,
    calibration: Annotated[
        str, typer.Option("--calibration", help="Ranges of activations: percentile, min-max or ema.")
    ] = "percentile",
    max_length: Annotated[
        int, typer.Option("--max-length", min=2, help="Cut calibration sentences to so many tokens.")
    ] = 128,
    weight_bits: Annotated[int | None, typer.Option("--weight-bits", help="Of the encoder's linears.")] = None,
    activation_bits: Annotated[int | None, typer.Option("--activation-bits", help="Of what they read.")] = None,
    embedding_bits: Annotated[int | None, typer.Option("--embedding-bits", help="Of the word embeddings.")] = None,
    granularity: Annotated[
        _Granularity | None, typer.Option("--granularity", help="One scale a row of a weight matrix, or one a matrix.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="An option of the method; repeatable.")
    ] = None,
    integer_only: Annotated[
        bool, typer.Option("--integer-only", help="Convert what a method leaves in floating point (q8bert).")
    ] = False,
    task: Annotated[str | None, typer.Option("--task", help="What to train on: sst2, stsb or cola.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A GLUE folder: SST-2/train.tsv, SST-2/dev.tsv, ...")
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="Keeps the training's checkpoints; by default beside the output.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of whatever a method draws at random.")] = None,
    max_drop: Annotated[
        float | None, typer.Option("--max-drop", help="auto: points that the task's metric may lose; by default 0.5.")
    ] = None,
    latency_table: Annotated[
        Path | None,
        typer.Option("--latency-table", help="auto: seek the fastest model, by a JSON file of milliseconds."),
    ] = None,
    trade_off: Annotated[
        Path | None, typer.Option("--trade-off", help="auto: write every model that was judged to a JSON file.")
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Quantize a float checkpoint: on a few sentences, or by training on a task."""
    from ..compiler.artifact import artifact_bytes
    from ..compiler.model_files import save
    from ..compiler.staging import staged_file, staged_folder
    from ..quantization import get_method, load_float_model, read_sentences
    from ..quantization import quantize as quantize_model
    from ..quantization.task_sentences import task_sentences

    chosen = get_method(method)
    given = _method_options(chosen, settings or [], integer_only, seed, max_drop, latency_table)
    if trade_off is not None and method != "auto":
        raise typer.BadParameter(f"the method {method} judges one model only; --trade-off is auto's")
    training = _training(task, data, work or output.with_name(f"{output.name}.work"), seed)
    if training is None and chosen.needs_task:
        raise typer.BadParameter(f"the method {method} needs a task's data: give --task and --data")
    if training is None and calibrate is None:
        raise typer.BadParameter("give --calibrate, a file of sentences, or --task and --data")
    sentences = None if calibrate is None else read_sentences(calibrate)
    with ExitStack() as outputs:
        judged = None if trade_off is None else outputs.enter_context(staged_file(trade_off, force))
        staging = outputs.enter_context(staged_folder(output, force))
        model = load_float_model(folder)
        if sentences is None and training is not None and not chosen.trains:
            sentences = task_sentences(training.task, training.data, model.architecture.head.kind)
        quantized = quantize_model(
            model,
            method=method,
            sentences=sentences,
            calibration=calibration,
            max_length=max_length,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            embedding_bits=embedding_bits,
            granularity=None if granularity is None else granularity.value,
            options=given,
            training=training,
            progress=console.progress,
        )
        save(quantized, staging)
        if judged is not None:
            judged.write_text(json.dumps(quantized.provenance["auto"], indent=2) + "\n", encoding="utf-8")
    size, count = artifact_bytes(output), len(sentences or ())
    if as_json:
        console.print_json({"output": str(output), "scheme": quantized.scheme, "sentences": count, "bytes": size})
    else:
        observed = f"trained on {task}" if "training" in quantized.provenance else f"{count} calibration sentences"
        print(f"{output}: {quantized.scheme}, {observed}, {size / 1e6:.1f} MB")


def _training(task: str | None, data: Path | None, work: Path, seed: int | None) -> Training | None:
    from ..quantization.request import Training

    if task is None or data is None:
        if task is not None or data is not None:
            raise typer.BadParameter("a task needs its data, and data a task: give --task and --data")
        return None
    return Training(task, data, work, seed or 0)


def _method_options(
    method: Method,
    settings: list[str],
    integer_only: bool,
    seed: int | None,
    max_drop: float | None,
    latency_table: Path | None,
) -> dict[str, Any]:
    """The method's own options, by name; SchemeError for one that the method lacks."""
    given = _settings(settings)
    if integer_only and not method.scheme.integer_only:
        given["integer_only"] = True
    if seed is not None and not method.trains and "seed" in method.option_defaults():
        given.setdefault("seed", seed)
    if max_drop is not None:
        given["max_drop"] = max_drop
    if latency_table is not None:
        given["latency_table"] = str(latency_table)
    method.parse_options(given)
    return given


def _settings(given: list[str]) -> dict[str, Any]:
    """``["ratio=0.02"]`` as ``{"ratio": "0.02"}``."""
    settings: dict[str, Any] = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"'{setting}' is not OPTION=VALUE", param_hint="--set")
        settings[name.strip()] = value.strip()
    return settings
