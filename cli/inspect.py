"""``intbert inspect``: what is in an artifact or a quantized model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from . import console, options

PLAIN = "plain"
"""The strategy that runs on every GPU."""
SLOWER = frozenset(f"the GPU has no {products}" for products in ("dp4a", "imma", "imma_s4", "bmma"))
"""Reasons for which a chip multiplies more slowly than others. What lacks but other instructions for the same products
is at its best with its own."""


def register(app: typer.Typer) -> None:
    app.command("inspect")(inspect)


def inspect(
    path: Annotated[Path, typer.Argument(help="An artifact or a quantized model.")],
    strategies: Annotated[
        bool, typer.Option("--strategies", help="Show which strategy every operator got, and why.")
    ] = False,
    bounds: Annotated[bool, typer.Option("--bounds", help="Show the proven ranges of the integer operators.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show sizes by dtype, buckets, operators with their strategies, and bounds."""
    from ..compiler.inspection import inspect as look

    report = look(path, bounds=bounds)
    if as_json:
        console.print_json(report)
        return
    _summary(report)
    if strategies:
        console.print_table(
            ("operator", "strategy", "schedule", "why no better one"),
            [
                (
                    s["operator"],
                    s["strategy"],
                    f"record {s['tuning_record'][:8]}" if s["tuning_record"] else "default",
                    _reasons(s),
                )
                for s in report.get("strategies", ())
            ],
            title="Strategies",
        )
    if bounds:
        console.print_table(
            ("operator", "bounds"),
            [(name, _flat(value)) for name, value in report["bounds"].items()],
            title="Bounds",
        )


def _summary(report: dict[str, Any]) -> None:
    hidden = {"sizes", "strategies", "bounds", "weight_bits", "activation_bits", "cuda"}
    console.print_table(("", ""), [(name, _flat(value)) for name, value in report.items() if name not in hidden])
    console.print_table(("part", "tensors", "bytes"), [tuple(row.values()) for row in report["sizes"]], title="Sizes")
    if "cuda" in report:
        _gpu_kernels(report["cuda"])
        _fallbacks(report["strategies"])
    for key, title in (("weight_bits", "Bits of the weights"), ("activation_bits", "Bits of the activations")):
        if report.get(key):
            console.print_table(("bits", "of"), _by_bits(report[key]), title=title)


def _gpu_kernels(cuda: dict[str, Any]) -> None:
    """Local memory holds what registers do not: a kernel that needs any is slow."""
    console.print_table(
        ("kernel", "threads", "registers", "local bytes", "shared bytes", "occupancy"),
        [
            (k["name"], k["threads"], k["registers"], k["local_bytes"], k["shared_bytes"], f"{k['occupancy']:.0%}")
            for k in cuda["kernels"]
        ],
        title=f"GPU kernels (sm_{cuda['sm']}, {cuda['compiler']})",
    )


def _fallbacks(strategies: list[dict[str, Any]]) -> None:
    """Nobody should learn from a slow benchmark that the chip lacks products, or that nothing suits a shape."""
    from ..compiler.profile import across_layers_name

    rows = {
        (across_layers_name(s["operator"].partition("/")[2]), s["strategy"], _reasons(s)): None
        for s in strategies
        if s["rejected"] and (s["strategy"] == PLAIN or any(why in SLOWER for _, why in s["rejected"]))
    }
    if rows:
        console.print_table(("operator", "strategy", "why no better one"), list(rows), title="Fallbacks")


def _reasons(strategy: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in strategy["rejected"])


def _by_bits(bits: dict[str, int]) -> list[tuple[int, str]]:
    """A row a number of bits, with what has so many; layers that agree are one entry."""
    names: dict[int, dict[str, list[str]]] = {}
    for name, number in bits.items():
        layer = re.match(r"layers\.(\d+)\.", name)
        part = name if layer is None else f"layers.*.{name[layer.end() :]}"
        names.setdefault(number, {}).setdefault(part, []).extend([] if layer is None else [layer[1]])
    return [
        (number, ", ".join(part if not layers else f"{part} ({_span(layers)})" for part, layers in parts.items()))
        for number, parts in sorted(names.items())
    ]


def _span(numbers: list[str]) -> str:
    first, last = int(numbers[0]), int(numbers[-1])
    return f"{first}-{last}" if 1 < len(numbers) == last - first + 1 else " ".join(numbers)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_flat(item) for item in value)
    return console.cell(value)
