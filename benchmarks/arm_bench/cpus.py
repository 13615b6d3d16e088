"""The emulated CPUs: what QEMU is told, what is compiled for them, and which model llvm-mca has of them."""

from collections.abc import Mapping
from dataclasses import dataclass

_V8_0 = ("fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "cpuid")
_V8_2 = (*_V8_0[:-1], "atomics", "fphp", "asimdhp", "cpuid", "asimdrdm", "lrcpc", "dcpop", "asimddp")


@dataclass(frozen=True)
class Cpu:
    """One CPU. ``target`` is the preset of intbert that compiles for it."""

    name: str
    qemu: str
    part: int
    """Arm's number of the core, as ``/proc/cpuinfo`` has it."""
    hwcap: tuple[str, ...]
    target: str
    mca: str
    """The CPU that llvm-mca is asked for: it has one model for cortex-a57 to a78, neoverse-n1 is nearer to a76."""


# With SME, QEMU 7.2 computes wrong outputs for some runtimes; SVE is no board's yet.
CPUS: Mapping[str, Cpu] = {
    cpu.name: cpu
    for cpu in (
        Cpu("cortex-a72", "cortex-a72", 0xD08, _V8_0, "rpi4", "cortex-a72"),
        Cpu("cortex-a76", "cortex-a76", 0xD0B, _V8_2, "rpi5", "neoverse-n1"),
        Cpu("i8mm", "max,sve=off,sme=off", 0xD49, (*_V8_2, "i8mm", "bf16"), "aarch64-i8mm", "neoverse-n2"),
    )
}
