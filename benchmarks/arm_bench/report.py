"""The tables on the terminal."""

from collections.abc import Iterable, Sequence

from peer_bench.ratios import OURS
from rich.console import Console
from rich.table import Table

from .contenders import LEFT_OUT
from .rows import Row

DOUBTFUL_COSINE = 0.95

METHOD = (
    "Method: the guest instructions of the second and third inference of a process, divided by two, counted by a "
    "plugin of QEMU's user-mode emulation, all threads and libraries included; one thread, batch 1, attention "
    "mask all ones. A count says nothing about memory, caches, or how many instructions a core issues at once: "
    "fewer instructions are not always less time. Cycles are llvm-mca's (neoverse-n1's model for cortex-a76): "
    "every block repeated, all data in the first cache, branches free."
)


def _jobs(rows: Iterable[Row]) -> dict[tuple[str, str, int], list[Row]]:
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.cpu, row.length), []).append(row)
    return groups


def instruction_table(rows: Sequence[Row]) -> Table:
    """One line a row, jobs separated, the fewest instructions first; the ratio is to our W8A8, or our first."""
    table = Table("model", "CPU", "length", "runtime", "precision", title="Instructions per inference, millions")
    for column in ("instructions", "to ours", "spread", "cosine to fp32"):
        table.add_column(column, justify="right")
    for (model, cpu, length), group in _jobs(rows).items():
        ours = [row for row in group if row.runtime == OURS]
        base = next((row for row in ours if row.precision == "W8A8"), ours[0] if ours else None)
        for row in sorted(group, key=lambda row: row.instructions):
            ratio = f"{row.instructions / base.instructions:.2f}" if base else "-"
            spread = "-" if row.spread is None else f"{row.spread:.2%}"
            doubt = " !" if row.cosine < DOUBTFUL_COSINE else "  "
            table.add_row(
                model, cpu, str(length), row.runtime, row.precision,
                f"{row.millions:.1f}", ratio, spread, f"{row.cosine:.4f}{doubt}",
            )  # fmt: skip
        table.add_section()
    return table


def kernel_table(row: Row) -> Table:
    """Where the instructions of one of our rows are."""
    title = f"{row.model} {row.precision}, length {row.length}, {row.cpu}: kernels"
    table = Table("kernel", "operators (strategy)", title=title)
    for column in ("calls", "instructions", "share", "cycles (mca)"):
        table.add_column(column, justify="right")
    for kernel in row.kernels:
        cycles = "-" if kernel.cycles is None else f"{kernel.cycles / 1e6:.2f} M"
        table.add_row(
            kernel.name, kernel.operators, str(kernel.calls), f"{kernel.instructions / 1e6:.2f} M",
            f"{kernel.instructions / row.instructions:.1%}", cycles,
        )  # fmt: skip
    outside = row.instructions - sum(kernel.instructions for kernel in row.kernels)
    table.add_row(
        "(outside)", "runtime, Python, NumPy", "", f"{outside / 1e6:.2f} M", f"{outside / row.instructions:.1%}"
    )
    return table


def print_report(rows: Sequence[Row], console: Console) -> None:
    """All tables, and how the figures were made."""
    console.print(instruction_table(rows))
    if any(row.cosine < DOUBTFUL_COSINE for row in rows):
        console.print(
            f"! agrees with float32 to less than {DOUBTFUL_COSINE}; ours at fewer bits are quantized without training"
        )
    for row in rows:
        if row.kernels:
            console.print(kernel_table(row))
    console.print(METHOD)
    for runtime, reason in LEFT_OUT.items():
        console.print(f"Not measured: {runtime} ({reason}).")
