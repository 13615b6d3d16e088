"""Runs CUDA source on the CPU: compiled with the C++ compiler and the emulator, one launch at a time.

Every access to memory is checked: out of bounds, not aligned, a race between two barriers, shared memory that nobody
has written. The first one found raises EmulationError with the kernel, block, thread and address.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ptx import without_inline_ptx

HERE = Path(__file__).parent / "emulator"
# Nothing is contracted, and signed integers wrap as they do on a GPU.
OPTIONS = ("-std=c++17", "-O2", "-fPIC", "-w", f"-I{HERE}", "-ffp-contract=off", "-fwrapv")
# TVM's sources read memory as whatever type is wanted.
INSTRUMENTED = (
    "-fsanitize=thread",
    "-fsanitize=bounds-strict",
    "-fno-strict-aliasing",
    "--param=tsan-distinguish-volatile=0",
)
_KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)\s*\{")
_DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*|alignas\(\d+\)\s*)?([\w ]+?)\b(\w+)\[\];")
_LAUNCHER = """
extern "C" __attribute__((no_sanitize("thread"))) void launch_{name}(void** parameters) {{ {name}({arguments}); }}
extern "C" const unsigned sizes_{name}[] = {{{sizes} 0}};
"""


class EmulationError(AssertionError):
    """What a kernel did that no kernel may do."""


@dataclass(frozen=True)
class Launch:
    """The extents of a kernel's grid and blocks, and its bytes of dynamic shared memory."""

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic_shared: int = 0


def run(source: str, kernel: str, launch: Launch, arguments: Sequence[NDArray[Any]]) -> None:
    """Runs ``kernel`` of the CUDA ``source`` on ``arguments``, contiguous arrays, in place. Raises EmulationError."""
    library = _library(source)
    # The bytes of an argument begin where no vector load straddles: cudaMalloc gives multiples of 256.
    memory = [_aligned(array) for array in arguments]
    pointers = (ctypes.c_void_p * len(memory))(*(array.ctypes.data for array in memory))
    values = (ctypes.c_void_p * len(memory))(*(ctypes.addressof(pointers) + 8 * i for i in range(len(memory))))
    sizes = (ctypes.c_size_t * len(memory))(*(array.nbytes for array in memory))
    extents = [(ctypes.c_uint * 3)(*values) for values in (launch.grid, launch.block)]
    entry = library[f"launch_{kernel}"]
    message = library.emulated_run(
        kernel.encode(), entry, *extents, launch.dynamic_shared, values, pointers, sizes, len(memory)
    )
    if message is not None:
        raise EmulationError(message.decode())
    for array, copy in zip(arguments, memory, strict=True):
        if array.flags.writeable:
            array[...] = copy


def build(source: str, folder: Path) -> Path:
    """All kernels of the CUDA ``source`` as a library, in ``folder``."""
    file = folder / "kernels.cc"
    file.write_text(_translation_unit(source))
    compile_cpp(*OPTIONS, *INSTRUMENTED, "-c", str(file), "-o", str(folder / "kernels.o"))
    library = folder / "kernels.so"
    compile_cpp("-shared", "-Wl,-Bsymbolic", str(folder / "kernels.o"), str(_runtime()), "-o", str(library))
    return library


def compile_cpp(*arguments: str) -> None:
    """Runs the C++ compiler with ``arguments``."""
    done = subprocess.run(("g++", *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stderr[-4000:]}"


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    assert array.flags.c_contiguous
    raw = np.empty(array.nbytes + 256, np.uint8)
    start = -raw.ctypes.data % 256
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cuda-on-cpu-")


@cache
def _runtime() -> Path:
    runtime = Path(_folder().name) / "runtime.o"
    compile_cpp(*OPTIONS, "-c", str(HERE / "runtime.cc"), "-o", str(runtime))
    return runtime


@cache
def _library(source: str) -> ctypes.CDLL:
    """Compiled once a session."""
    folder = Path(_folder().name) / hashlib.sha256(source.encode()).hexdigest()[:16]
    folder.mkdir()
    library = ctypes.CDLL(str(build(source, folder)))
    library.emulated_run.restype = ctypes.c_char_p
    return library


def _translation_unit(source: str) -> str:
    source = re.sub(r"#include\s*<(cuda|mma|cuda_runtime)\.h>", "", without_inline_ptx(source))
    # C++ wants what aligns a variable before what says where it lies.
    source = re.sub(r"__shared__ (alignas\(\d+\))", r"\1 __shared__", source)
    source = _DYNAMIC.sub(r"\1* const \2 = (\1*)emulated::dynamic_shared_memory();", source)
    launchers = [_launcher(name, parameters) for name, parameters in _KERNEL.findall(source)]
    assert launchers, "no kernel"
    return f'#include "cuda_on_cpu.h"\n{source}{"".join(launchers)}'


def _launcher(kernel: str, parameters: str) -> str:
    """A function that calls ``kernel`` with the values that an array points to, and their sizes."""
    types = [re.sub(r"\s*__restrict__\s*\w+$|\s*\b\w+$", "", each.strip()) for each in parameters.split(",")]
    return _LAUNCHER.format(
        name=kernel,
        arguments=", ".join(f"*({kind}*)parameters[{index}]" for index, kind in enumerate(types)),
        sizes="".join(f"sizeof({kind})," for kind in types),
    )
