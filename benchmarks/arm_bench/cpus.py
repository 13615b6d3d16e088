"""The emulated CPUs: what QEMU is told, what is compiled for them, and which model llvm-mca has of them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cpu:
    """One CPU. ``target`` is the preset of intbert that compiles for it, ``features`` replace the preset's."""

    name: str
    qemu: str
    target: str
    mca: str
    """The CPU that llvm-mca is asked for: it has one model for cortex-a57 to a78, neoverse-n1 is nearer to a76."""
    features: frozenset[str] = frozenset()
    llvm: str = ""


# With SME, QEMU 7.2 computes wrong outputs for some runtimes; SVE is no board's yet.
CPUS: Mapping[str, Cpu] = {
    cpu.name: cpu
    for cpu in (
        Cpu("cortex-a72", "cortex-a72", "rpi4", "cortex-a72"),
        Cpu("cortex-a76", "cortex-a76", "rpi5", "neoverse-n1"),
        Cpu("i8mm", "max,sve=off,sme=off", "aarch64", "neoverse-n2", frozenset({"i8mm"}), "neoverse-n2"),
    )
}
