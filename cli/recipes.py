"""``intbert recipes``: the quantization methods, and which to choose when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console, options

if TYPE_CHECKING:
    from ..quantization.methods import Method


def register(app: typer.Typer) -> None:
    app.command("recipes")(recipes)


def recipes(
    name: Annotated[str | None, typer.Argument(help="One method: its options too.")] = None,
    as_json: options.Json = False,
) -> None:
    """Which quantization method to choose when, and what it needs."""
    from ..quantization.methods import METHODS, get_method, shown_bits

    methods = list(METHODS.values()) if name is None else [get_method(name)]
    if as_json:
        console.print_json({"methods": [_document(method) for method in methods]})
        return
    rows = [
        (
            method.name,
            shown_bits(method.weight_bits),
            shown_bits(method.activation_bits),
            shown_bits(method.embedding_bits),
            _needs(method),
            method.when,
        )
        for method in methods
    ]
    console.print_table(("method", "weights", "activations", "words", "needs", "when"), rows)
    if name is not None:
        _print_method(methods[0])


def _print_method(method: Method) -> None:
    print(f"\n{method.scheme.description}\n{method.scheme.source}")
    defaults = method.option_defaults()
    if defaults:
        print()
        console.print_table(("--set", "by default"), [(option, str(value)) for option, value in defaults.items()])
    print(f"\nintbert quantize CHECKPOINT --method {method.name} {_arguments(method)} -o OUTPUT")


def _needs(method: Method) -> str:
    return "a task's data" if method.needs_task else "sentences"


def _arguments(method: Method) -> str:
    return "--task TASK --data GLUE" if method.needs_task else "--calibrate SENTENCES"


def _document(method: Method) -> dict[str, Any]:
    return {
        "name": method.name,
        "description": method.scheme.description,
        "source": method.scheme.source,
        "when": method.when,
        "trains": method.trains,
        "needs_task": method.needs_task,
        "weight_bits": list(method.weight_bits),
        "activation_bits": list(method.activation_bits),
        "embedding_bits": list(method.embedding_bits),
        "defaults": {
            "weight_bits": method.scheme.weight_bits,
            "activation_bits": method.scheme.activation_bits,
            "embedding_bits": method.scheme.embedding_bits,
        },
        "options": method.option_defaults(),
    }
