"""One scheduled kernel as a shared library of its own: what a tuner sends to a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..schedules.intrinsics.lowering import lowering_for
from ..targets.target import Target
from ..targets.toolchain import linker
from .cuda.device_code import compile_for_gpu
from .cuda.imports import source_only

FUNCTION = "main"
"""The kernel's name in its library."""


def build_kernel_library(function: Any, target: Target, path: Path) -> None:
    """Compiles the scheduled PrimFunc for ``target`` and links it into the shared library ``path``; for a GPU, with its
    machine code.

    Raises ToolchainError when there is no linker, or no CUDA compiler that knows the GPU, or it fails, and where the
    GPU cannot hold a block; TVM's own errors for a schedule that does not lower.
    """
    import tvm

    module = tvm.IRModule({FUNCTION: function.with_attr("global_symbol", FUNCTION)})
    with lowering_for(target.kernel_features), source_only():
        compiled = tvm.tirx.build(module, target=target.tvm())
    pack = {}
    if target.cuda is not None:
        device = compile_for_gpu(compiled, module, target.cuda)
        pack = {"fpack_imports": device.packer(target.arch)}
    compiled.export_library(str(path), fcompile=linker(target).fcompile, **pack)
