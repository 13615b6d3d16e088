"""The tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from layer_bench.report import layer_table
from layer_bench.rows import LayerRow
from peer_bench.ratios import OURS, group_by_job
from peer_bench.report import latency_table
from peer_bench.rows import Row
from rich.console import Console
from rich.table import Table

GOALS = "goals: 4 times faster than fp32 (the most that I-BERT reports), an int4 layer 15 times (MKQ-BERT)"


def ratio_table(rows: Sequence[Row]) -> Table:
    """One line a job: by each peer and precision, how many times this project's time it took, of rounds of turns."""
    peers = list(dict.fromkeys((row.runtime, row.precision) for row in rows if row.runtime != OURS))
    table = Table("model", "length", "batch", title="intbert is so many times faster than")
    for runtime, precision in peers:
        table.add_column(f"{runtime} {precision}", justify="right")
    for job, group in group_by_job(rows).items():
        ratios = {(row.runtime, row.precision): row.to_ours for row in group}
        cells = ["-" if (ratio := ratios.get(peer)) is None else f"{ratio:.2f}" for peer in peers]
        table.add_row(job.model, str(job.length), str(job.batch), *cells)
    return table


def print_report(rows: Sequence[Row], layers: Sequence[LayerRow], card: str, console: Console) -> None:
    """All tables, and what they were measured on."""
    console.print(latency_table(rows))
    console.print(ratio_table(rows))
    if layers:
        console.print(layer_table(layers))
    console.print(GOALS)
    console.print(f"card: {card}")
