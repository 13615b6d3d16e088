"""The root folder of an emulated CPU: the userland with that CPU's own ``/proc/cpuinfo``.

Runtimes choose their kernels by what stands there; with this machine's own, of another architecture, ONNX Runtime
crashes.
"""

import os
from pathlib import Path

from .cpus import Cpu

_PROCESSOR = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part:#x}
CPU revision\t: 3
"""


def cpuinfo(cpu: Cpu, processors: int) -> str:
    """As Linux would say it on such a CPU."""
    return "\n".join(
        _PROCESSOR.format(number=number, features=" ".join(cpu.hwcap), part=cpu.part) for number in range(processors)
    )


def root_of(cpu: Cpu, userland_root: Path, folder: Path) -> Path:
    """A root in ``folder`` whose entries are links into the userland, except ``/proc``."""
    root = folder / f"root-{cpu.name}"
    (root / "proc").mkdir(parents=True, exist_ok=True)
    for entry in userland_root.iterdir():
        link = root / entry.name
        if entry.name != "proc":
            link.unlink(missing_ok=True)
            link.symlink_to(entry)
    aside = root / "proc" / f"cpuinfo.{os.getpid()}"
    aside.write_text(cpuinfo(cpu, os.cpu_count() or 1))
    aside.replace(root / "proc" / "cpuinfo")
    return root
