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
COMPILER = ("g++", "-std=c++17", "-O2", "-fPIC", "-w", f"-I{HERE}")
# TVM's sources read memory as whatever type is wanted.
INSTRUMENTED = (
    "-fsanitize=thread",
    "-fsanitize=bounds-strict",
    "-fno-strict-aliasing",
    "--param=tsan-distinguish-volatile=0",
)
_KERNEL = re.compile(r"__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)\s*\{")
_DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s*)?[\w ]+?\b(\w+)\[\];")


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
    library = _library(source, kernel, launch.dynamic_shared)
    # The bytes of an argument begin where no vector load straddles: cudaMalloc gives multiples of 256.
    memory = [_aligned(array) for array in arguments]
    pointers = (ctypes.c_void_p * len(memory))(*(array.ctypes.data for array in memory))
    sizes = (ctypes.c_size_t * len(memory))(*(array.nbytes for array in memory))
    extents = [(ctypes.c_uint * 3)(*values) for values in (launch.grid, launch.block)]
    message = library.emulated_run(kernel.encode(), *extents, pointers, sizes, len(memory))
    if message is not None:
        raise EmulationError(message.decode())
    for array, copy in zip(arguments, memory, strict=True):
        if array.flags.writeable:
            array[...] = copy


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
    _compile(*COMPILER, "-c", str(HERE / "runtime.cc"), "-o", str(runtime))
    return runtime


@cache
def _library(source: str, kernel: str, dynamic_shared: int) -> ctypes.CDLL:
    """Compiled once a session."""
    stem = Path(_folder().name) / hashlib.sha256(f"{kernel} {dynamic_shared} {source}".encode()).hexdigest()[:16]
    stem.with_suffix(".cc").write_text(_translation_unit(source, kernel, dynamic_shared))
    _compile(*COMPILER, *INSTRUMENTED, "-c", f"{stem}.cc", "-o", f"{stem}.o")
    _compile("g++", "-shared", "-Wl,-Bsymbolic", f"{stem}.o", str(_runtime()), "-o", f"{stem}.so")
    library = ctypes.CDLL(f"{stem}.so")
    library.emulated_run.restype = ctypes.c_char_p
    return library


def _translation_unit(source: str, kernel: str, dynamic_shared: int) -> str:
    source = re.sub(r"#include\s*<(cuda|mma|cuda_runtime)\.h>", "", without_inline_ptx(source))
    source = _DYNAMIC.sub(rf"__shared__ __align__(128) unsigned char \1[{max(dynamic_shared, 1)}];", source)
    parameters = next(match.group(2) for match in _KERNEL.finditer(source) if match.group(1) == kernel)
    types = [re.sub(r"__restrict__\s*\w+$|\w+$", "", each.strip()).strip() for each in parameters.split(",")]
    call = ", ".join(f"({kind})arguments[{index}]" for index, kind in enumerate(types))
    return (
        f'#include "cuda_on_cpu.h"\n{source}\n'
        f'extern "C" __attribute__((no_sanitize("thread"))) void emulated_kernel(void** arguments)'
        f" {{ {kernel}({call}); }}\n"
    )


def _compile(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr[-4000:]}"
