"""A GPU that is this CPU: TVM's own CUDA runtime runs an artifact's host code, and the emulator runs the CUDA source
that the artifact's machine code is of. So everything but the chip is what a board runs, and every launch is checked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tvm_ffi
from intbert.compiler.runtime.library import find_library

from ..emulation import compile_cpp

HERE = Path(__file__).parent
PAGE = 4096
"""Bytes: what the driver's allocations are rounded up to."""
DRIVER, CUDART, NVML = "libcuda.so.1", "libcudart.so.13", "libnvidia-ml.so.1"


def build_driver(folder: Path) -> Path:
    """A folder with the driver, the runtime and the management library: one library under all names."""
    script = folder / "versions"
    script.write_text(f"{CUDART} {{ global: cu*; nvml*; local: *; }};\n")  # the version that TVM's library asks for
    options = ("-std=c++17", "-O1", "-shared", "-fPIC", f"-Wl,--version-script={script},-soname,{CUDART}")
    compile_cpp(*options, str(HERE / "driver.cc"), "-ldl", "-o", str(folder / CUDART))
    for name in (DRIVER, NVML):
        (folder / name).symlink_to(CUDART)
    return folder


@dataclass(frozen=True)
class FakeGpu:
    """``driver``: the folder of :func:`build_driver`."""

    driver: Path
    sm: int = 87
    memory: int | None = None
    """Bytes; None: as much as there is."""

    def run(self, script: str, *arguments: str, kernels: Path) -> str:
        """What the Python ``script`` prints in a process that has this GPU."""
        folders = [str(self.driver), str(find_library().parent), str(Path(tvm_ffi.__file__).parent / "lib")]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(folders),
            "FAKE_GPU_SM": str(self.sm),
            "FAKE_GPU_KERNELS": str(kernels),
            **({} if self.memory is None else {"FAKE_GPU_BYTES": str(self.memory)}),
        }
        command: Sequence[str] = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-3000:]}"
        return done.stdout
