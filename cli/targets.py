"""``intbert targets``: the machines that can be compiled for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import console, options

if TYPE_CHECKING:
    from ..targets import Target


def register(app: typer.Typer) -> None:
    app.command("targets")(targets)


def targets(
    name: Annotated[str | None, typer.Argument(help="Show this one only.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the machines that can be compiled for."""
    from ..targets import get_target, list_targets

    found = list_targets() if name is None else [get_target(name)]
    if as_json:
        console.print_json({"targets": [_document(target) for target in found]})
        return
    console.print_table(
        ("name", "architecture", "cpu", "cores", "features", "gpu", "description"),
        [(t.name, t.arch, t.cpu, t.cores, " ".join(sorted(t.features)), _gpu(t), t.description) for t in found],
    )


def _gpu(target: Target) -> str:
    return "" if target.cuda is None else target.cuda.name


def _document(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "description": target.description,
        "arch": target.arch,
        "triple": target.triple,
        "cpu": target.cpu,
        "features": sorted(target.features),
        "cores": target.cores,
        "memory_mb": target.memory_mb,
        "cuda": None if target.cuda is None else asdict(target.cuda),
    }
