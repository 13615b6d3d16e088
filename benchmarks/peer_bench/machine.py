"""What the figures were measured on: the CPU's name and features, and the cores to pin threads to."""

import os
import platform
from collections.abc import Collection
from pathlib import Path

from .errors import BenchmarkError

CPUINFO = Path("/proc/cpuinfo")
TOPOLOGY = Path("/sys/devices/system/cpu")

# The flags of /proc/cpuinfo (x86: "flags", aarch64: "Features") that decide how fast a matrix product can be.
REPORTED_FEATURES = frozenset(
    {
        "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16",
        "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve", "sve2",
    }
)  # fmt: skip
BF16_FEATURES = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def _field(cpuinfo: str, *names: str) -> str | None:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return None


def cpu_model(cpuinfo: str | None = None) -> str:
    """The CPU's name; its architecture where the kernel gives no name."""
    text = CPUINFO.read_text() if cpuinfo is None else cpuinfo
    return _field(text, "model name", "Model") or platform.machine()


def cpu_features(cpuinfo: str | None = None) -> list[str]:
    """Those of :data:`REPORTED_FEATURES` that the CPU has, sorted."""
    text = CPUINFO.read_text() if cpuinfo is None else cpuinfo
    return sorted(REPORTED_FEATURES & set((_field(text, "flags", "Features") or "").split()))


def has_bf16(features: Collection[str]) -> bool:
    """Whether the CPU multiplies bfloat16 in hardware."""
    return not BF16_FEATURES.isdisjoint(features)


def one_cpu_per_core(allowed: Collection[int], topology: Path = TOPOLOGY) -> list[int]:
    """The first logical CPU of every core, so that two pinned threads never share one core's units."""
    chosen: dict[str, int] = {}
    for cpu in sorted(allowed):
        siblings = topology / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        core = siblings.read_text().strip() if siblings.is_file() else str(cpu)
        chosen.setdefault(core, cpu)
    return list(chosen.values())


def cpus_for(threads: int) -> list[int]:
    """The CPUs that a process with so many threads is pinned to.

    Raises:
        BenchmarkError: this process may not use that many cores.
    """
    cores = one_cpu_per_core(os.sched_getaffinity(0))
    if threads > len(cores):
        raise BenchmarkError(f"{threads} threads need {threads} cores, {len(cores)} available: lower --threads")
    return cores[:threads]
