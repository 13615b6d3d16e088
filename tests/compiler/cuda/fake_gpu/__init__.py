"""A GPU that is this CPU: TVM's own CUDA runtime runs an artifact's host code, and the kernels are compiled from the
CUDA source that the artifact's machine code is of. So everything but the chip is what a board runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tvm_ffi
from intbert.compiler.runtime.library import find_library

HERE = Path(__file__).parent
PAGE = 4096
"""Bytes: what the driver's allocations are rounded up to."""
DRIVER, CUDART = "libcuda.so.1", "libcudart.so.13"
_KERNEL = re.compile(r'extern "C" __global__ void __launch_bounds__\(\d+\) (\w+)\(([^)]*)\) \{')
_LAUNCHER = """
extern "C" void launch_{name}(const unsigned* grid, const unsigned* block, bool backwards, void** parameters) {{
  fibers::launch({{grid[0], grid[1], grid[2]}}, {{block[0], block[1], block[2]}}, backwards,
                 [](void** p) {{ {name}({arguments}); }}, parameters);
}}
"""


def _compile(output: Path, source: Path, *options: str) -> None:
    found = shutil.which("g++")
    command = [found] if found else [sys.executable, "-m", "ziglang", "c++"]
    command += ["-std=c++17", "-shared", "-fPIC", *options, "-o", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def build_driver(folder: Path) -> Path:
    """A folder with the driver and the runtime: one library under both names."""
    script = folder / "versions"
    script.write_text(f"{CUDART} {{ global: cu*; local: *; }};\n")  # the version that TVM's library asks for
    _compile(folder / CUDART, HERE / "driver.cc", "-O1", f"-Wl,--version-script={script},-soname,{CUDART}", "-ldl")
    (folder / DRIVER).symlink_to(CUDART)
    return folder


def build_kernels(source: str, folder: Path) -> Path:
    """The kernels of TVM's CUDA ``source`` as a library."""
    (folder / "cuda.h").touch()
    launchers = [
        _LAUNCHER.format(name=name, arguments=", ".join(_arguments(parameters)))
        for name, parameters in _KERNEL.findall(source)
    ]
    assert launchers
    # C++ wants what aligns a variable before what says where it lies.
    source = re.sub(r"__shared__ (alignas\(\d+\))", r"\1 __shared__", source)
    file = folder / "kernels.cc"
    file.write_text(source + "".join(launchers))
    # Nothing is contracted, and signed integers wrap as they do on a GPU.
    options = ("-O1", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", "-w")
    _compile(folder / "kernels.so", file, *options, f"-I{folder}", "-include", str(HERE / "kernel.h"))
    return folder / "kernels.so"


def _arguments(parameters: str) -> list[str]:
    """Each parameter, of the type that its declaration names, from the array of pointers to them."""
    kinds = [re.sub(r"\s*__restrict__\s*\w+$|\s*\b\w+$", "", each.strip()) for each in parameters.split(",")]
    return [f"*reinterpret_cast<{kind}*>(p[{index}])" for index, kind in enumerate(kinds)]


@dataclass(frozen=True)
class FakeGpu:
    """``driver``: the folder of :func:`build_driver`."""

    driver: Path
    sm: int = 87
    memory: int | None = None
    """Bytes; None: as much as there is."""

    def run(self, script: str, *arguments: str, kernels: Path, backwards: bool = False) -> str:
        """What the Python ``script`` prints in a process that has this GPU."""
        folders = [str(self.driver), str(find_library().parent), str(Path(tvm_ffi.__file__).parent / "lib")]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(folders),
            "FAKE_GPU_SM": str(self.sm),
            "FAKE_GPU_KERNELS": str(kernels),
            **({"FAKE_GPU_BACKWARDS": "1"} if backwards else {}),
            **({} if self.memory is None else {"FAKE_GPU_BYTES": str(self.memory)}),
        }
        command: Sequence[str] = [sys.executable, "-c", script, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-3000:]}"
        return done.stdout
