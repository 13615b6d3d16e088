"""The tables on the terminal."""

from collections.abc import Iterable, Sequence

from intbert.targets import HOST
from peer_bench.ratios import OURS
from rich.console import Console
from rich.table import Table

from .rows import LayerRow

EIGHT_BITS = "W8A8"
METHOD = (
    "Method: a layer is half of the difference between a model of three layers and one of one, both with the same "
    "embedding and output; medians over short turns of pinned processes, one computing at a time. Random weights: "
    "the kernels take the same time for all values."
)


def jobs(rows: Iterable[LayerRow]) -> dict[tuple[str, int, int], list[LayerRow]]:
    """The rows of each model, length and number of threads."""
    groups: dict[tuple[str, int, int], list[LayerRow]] = {}
    for row in rows:
        groups.setdefault((row.model, row.length, row.threads), []).append(row)
    return groups


def best_peer(rows: Sequence[LayerRow]) -> LayerRow | None:
    """The fastest row that is not ours."""
    return min((row for row in rows if row.runtime != OURS), key=lambda row: row.p50_ms, default=None)


def eight_bits(rows: Sequence[LayerRow]) -> LayerRow | None:
    """This project's row of 8-bit weights and activations."""
    return next((row for row in rows if row.runtime == OURS and row.precision == EIGHT_BITS), None)


def times_faster(row: LayerRow, other: LayerRow | None) -> str:
    """``row`` than ``other``, with two decimals; a dash where there is no other."""
    return "-" if other is None else f"{other.p50_ms / row.p50_ms:.2f}"


def layer_table(rows: Sequence[LayerRow]) -> Table:
    """One line a row, the fastest of each job first; ratios are to the job's best peer, and to 8 bits."""
    table = Table("model", "length", "threads", "runtime", "precision", title="One encoder layer, batch 1")
    for column in ("p50 ms", "min ms", f"times faster than {EIGHT_BITS}", "than the best fp32", "best fp32"):
        table.add_column(column, justify="right")
    for (model, length, threads), group in jobs(rows).items():
        best = best_peer(group)
        for row in sorted(group, key=lambda row: row.p50_ms):
            table.add_row(
                model, str(length), str(threads), row.runtime, row.precision,
                f"{row.p50_ms:.3f}", f"{row.min_ms:.3f}", times_faster(row, eight_bits(group)),
                times_faster(row, best), "-" if best is None else best.runtime,
            )  # fmt: skip
        table.add_section()
    return table


def print_report(rows: Sequence[LayerRow], console: Console) -> None:
    """The table, how it was made, and what it was measured on."""
    console.print(layer_table(rows))
    console.print(METHOD)
    if rows:
        target = "" if rows[0].target == HOST else f"; {OURS} compiled for {rows[0].target}"
        console.print(f"CPU: {rows[0].cpu} ({', '.join(rows[0].features)}){target}")
