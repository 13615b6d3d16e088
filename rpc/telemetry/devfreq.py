"""The clocks of a Jetson's GPU and of its memory.

devfreq (kernel, Documentation/ABI/testing/sysfs-class-devfreq) has a folder per device, named after it, and a Jetson's
are in Hz. The GPU's is ``17000000.gpu`` of an Orin, with its chip's name in older releases (``17000000.ga10b``,
``17000000.gv11b`` of a Xavier), ``57000000.gpu`` of a Nano, ``gpu-gpc-0`` of a Thor (jetson_stats, jtop/core/gpu.py and
thor_gpu.py). ``max_freq`` is what the power mode allows (NVIDIA, Jetson developer guide, "Power Management"). The
memory's is ``bwmgr`` where a release has it; others show it to root only, in debugfs.
"""

from __future__ import annotations

import re

from .clock import Limits, plausible_mhz
from .files import read_integer, read_text
from .source import Machine, Source

GPU = re.compile(r"(?:[0-9a-f]+\.)?(?:gpu|gm20b|gp10b|gv11b|ga10b|gb10b)|gpu-gpc-[0-9]+")
"""The name of a device that is a Jetson's GPU, or one of the clusters that it consists of."""
_MEMORY = re.compile("bwmgr")


def gpu_clock(machine: Machine) -> Source[float] | None:
    """The clock in MHz that the governor has set last; of several clusters the lowest."""
    return _clock(machine, GPU)


def memory_clock(machine: Machine) -> Source[float] | None:
    """The clock of the memory (EMC) in MHz."""
    return _clock(machine, _MEMORY)


def limits(machine: Machine) -> Limits:
    """The governors and limits of the GPU."""
    folders = _folders(machine, GPU)
    governors = [read_text(f"{folder}/governor") for folder in folders]
    return Limits(
        governor=", ".join(dict.fromkeys(governor for governor in governors if governor)) or None,
        lowest_mhz=min(_megahertz([f"{folder}/min_freq" for folder in folders]), default=None),
        highest_mhz=max(_megahertz([f"{folder}/max_freq" for folder in folders]), default=None),
    )


def _clock(machine: Machine, name: re.Pattern[str]) -> Source[float] | None:
    folders = _folders(machine, name)
    if not folders:
        return None
    files = [f"{folder}/cur_freq" for folder in folders]
    words = ", ".join(folder.rpartition("/")[2] for folder in folders)
    return Source(f"devfreq: {words}", lambda: min(_megahertz(files), default=None))


def _folders(machine: Machine, name: re.Pattern[str]) -> list[str]:
    return [folder for folder in machine.find("sys/class/devfreq/*") if name.fullmatch(folder.rpartition("/")[2])]


def _megahertz(paths: list[str]) -> list[float]:
    """The clocks that the files have, in Hz, as MHz."""
    clocks = (hertz / 1e6 for path in paths if (hertz := read_integer(path)) is not None)
    return [clock for clock in clocks if plausible_mhz(clock)]
