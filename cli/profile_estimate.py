"""``intbert profile --estimate``: occupancy and roofline of a GPU's kernels, nothing run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from ..compiler.cuda.estimate import KernelEstimate, ModelEstimate

CAUTION = (
    "an estimate: nothing was run; each operand crosses the memory once, and caches, waiting and launches take no "
    "time, so a board is slower"
)
UNREAD = (
    "no loop of the machine code was read, so other instructions take no time either; "
    "`pip install nvidia-cuda-nvdisasm` if it is missing"
)
_WIDTH = 200
_COLUMNS = (
    *(
        "operator",
        "kernel",
        "calls",
        "blocks",
        "threads",
        "regs",
        "shared",
        "occupancy",
        "waves",
        "by",
        "of loop",
        "GMAC",
        "MB",
    ),
    *("MAC/B", "bound", "ms", "share", "of peak", "strategy"),
)


def show(path: Path, target: str | None, length: int | None, batch: int, *, layers: bool, as_json: bool) -> None:
    """Prints the estimate of the artifact or quantized model at ``path``."""
    from ..compiler.cuda.estimate import across_layers
    from ..compiler.cuda.estimating import estimate_at
    from ..targets import get_target

    machine = None if target is None else get_target(target)
    with console.steps() as step:
        step("estimating")
        found = estimate_at(path, machine, length, batch, step)
    if as_json:
        console.print_json({**found.to_json(), "caution": CAUTION})
        return
    console.print_table(("estimate", ""), _facts(found))
    rows = [_row(found, kernel) for kernel in (found.kernels if layers else across_layers(found.kernels))]
    console.print_table(_COLUMNS, [*rows, _total(found)], least_width=_WIDTH)
    if all(kernel.multiply_share is None for kernel in found.kernels):
        console.say(UNREAD)
    console.say(CAUTION)


def _facts(found: ModelEstimate) -> list[tuple[str, str]]:
    gpu = found.gpu
    shapes = ", ".join(f"{bucket.batch} x {bucket.length}" for bucket in found.buckets)
    return [
        ("target", f"{found.target} ({gpu.name}, {gpu.multiprocessors} multiprocessors at {gpu.clock_mhz} MHz)"),
        ("rows x tokens", shapes),
        ("int8 peak", f"{found.peak_gmacs:.0f} GMAC/s by {found.peak_multiplier.value}"),
        ("bandwidth", f"{gpu.bandwidth_gbs:g} GB/s"),
    ]


def _row(found: ModelEstimate, kernel: KernelEstimate) -> list[str]:
    return [
        kernel.operator,
        kernel.kernel,
        str(kernel.calls),
        str(kernel.blocks),
        str(kernel.threads),
        str(kernel.registers),
        str(kernel.shared_bytes),
        f"{kernel.occupancy:.0%}",
        f"{kernel.waves:.2f}",
        kernel.multiplier.value if kernel.macs else "",
        "" if kernel.multiply_share is None else f"{kernel.multiply_share:.0%}",
        *_rates(found, kernel.macs, kernel.bytes, kernel.ms, kernel.bound),
        kernel.strategy,
    ]


def _total(found: ModelEstimate) -> list[str]:
    calls = sum(kernel.calls for kernel in found.kernels)
    return ["total", "", str(calls), *[""] * 8, *_rates(found, found.macs, found.bytes, found.ms, ""), ""]


def _rates(found: ModelEstimate, macs: int, size: int, ms: float, bound: str) -> list[str]:
    return [
        f"{macs / 1e9:.3f}" if macs else "",
        f"{size / 1e6:.2f}",
        f"{macs / size:.0f}" if macs else "",
        bound,
        f"{ms:.4f}",
        f"{ms / found.ms:.1%}",
        f"{found.share_of_peak(macs, ms):.1%}" if macs else "",
    ]
