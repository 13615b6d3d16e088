"""The tables on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from .ratios import OPPONENTS, group_by_job, ratios
from .rows import Row

DOUBTFUL_COSINE = 0.95


def latency_table(rows: Sequence[Row]) -> Table:
    """One line a row, jobs separated, the fastest of each job first."""
    table = Table("model", "length", "batch", "threads", "runtime", "precision", title="Latency")
    for column in ("p50 ms", "to ours", "p90 ms", "min ms", "CPU share", "cosine to fp32"):
        table.add_column(column, justify="right")
    for job, group in group_by_job(rows).items():
        for row in sorted(group, key=lambda row: row.p50_ms):
            table.add_row(
                job.model, str(job.length), str(job.batch), str(job.threads), row.runtime, row.precision,
                f"{row.p50_ms:.2f}", "-" if row.to_ours is None else f"{row.to_ours:.2f}",
                f"{row.p90_ms:.2f}", f"{row.min_ms:.2f}",
                f"{row.cpu_share:.2f}", _cosine_cell(row.cosine),
            )  # fmt: skip
        table.add_section()
    return table


def _cosine_cell(cosine: float) -> str:
    """Marked where the output is so far off that the time is hardly one of the same job."""
    return f"{cosine:.4f}" + (" !" if cosine < DOUBTFUL_COSINE else "  ")


def ratio_table(rows: Sequence[Row]) -> Table:
    """One line a job: how many times faster than each opponent this project is."""
    table = Table("model", "length", "batch", "threads", title="intbert is so many times faster than")
    for opponent in OPPONENTS:
        table.add_column(opponent, justify="right")
    for job, group in group_by_job(rows).items():
        by_opponent = {ratio.opponent: ratio for ratio in ratios(group)}
        cells = [
            f"{by_opponent[opponent].times_faster:.2f} ({by_opponent[opponent].runtime})"
            if opponent in by_opponent
            else "-"
            for opponent in OPPONENTS
        ]
        table.add_row(job.model, str(job.length), str(job.batch), str(job.threads), *cells)
    return table


def print_report(rows: Sequence[Row], console: Console) -> None:
    """Both tables, and what they were measured on."""
    console.print(latency_table(rows))
    if any(row.cosine < DOUBTFUL_COSINE for row in rows):
        console.print(f"! agrees with float32 to less than {DOUBTFUL_COSINE}: fast, but hardly the same job")
    console.print(ratio_table(rows))
    if rows:
        console.print(f"CPU: {rows[0].cpu} ({', '.join(rows[0].features)})")
