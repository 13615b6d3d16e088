"""What tuning needs of a GPU where there is none: each candidate's machine code names a library of the emulator."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ....cuda import emulation
from ....cuda.fake_gpu import FakeGpu, build_driver

HERE = Path(__file__).parent
# Of the oldest release, so that it is taken.
NVCC = """#!/bin/sh
case "$1" in
--version) echo "Cuda compilation tools, release 12.0" ;;
--list-gpu-code) echo sm_{sm} ;;
*) exec env -u LD_PRELOAD -u LD_LIBRARY_PATH "{python}" "{script}" "$@" ;;
esac
"""
NO_KERNELS = Path("the module names them")


class CandidatesGpu:
    """A fake GPU that runs what is compiled while it is there; ``folder`` keeps its parts."""

    def __init__(self, folder: Path, sm: int) -> None:
        for name in ("driver", "bin", "kernels"):
            (folder / name).mkdir()
        self._gpu = FakeGpu(build_driver(folder / "driver"), sm=sm)
        self._preloaded, self._commands, self._kept = folder / "modules.so", folder / "bin", folder / "kernels"
        emulation.compile_cpp("-shared", "-fPIC", str(HERE / "modules.cc"), "-ldl", "-o", str(self._preloaded))
        runtime = str(emulation.HERE / "runtime.cc")
        emulation.compile_cpp(*emulation.OPTIONS, "-c", runtime, "-o", str(self._kept / "runtime.o"))
        nvcc = self._commands / "nvcc"
        nvcc.write_text(NVCC.format(sm=sm, python=sys.executable, script=HERE / "nvcc.py"))
        nvcc.chmod(0o755)

    def run(self, script: str, *arguments: str) -> str:
        """What the Python ``script`` prints in a process that has this GPU, and in all that it starts."""
        path = os.pathsep.join([str(self._commands), os.environ["PATH"]])
        environment = {"PATH": path, "LD_PRELOAD": str(self._preloaded), "FAKE_NVCC_FOLDER": str(self._kept)}
        return self._gpu.run(f"import os; os.environ.update({environment!r})\n{script}", *arguments, kernels=NO_KERNELS)
