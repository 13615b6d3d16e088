"""One scheduled kernel as a shared library of its own: what a tuner sends to a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..schedules.intrinsics.lowering import lowering_for
from ..targets.target import Target
from ..targets.toolchain import linker

FUNCTION = "main"
"""The kernel's name in its library."""


def build_kernel_library(function: Any, target: Target, path: Path) -> None:
    """Compiles the scheduled PrimFunc for ``target`` and links it into the shared library ``path``.

    Raises ToolchainError when no linker is found or it fails; TVM's own errors for a schedule that does not lower.
    """
    import tvm

    module = tvm.IRModule({FUNCTION: function.with_attr("global_symbol", FUNCTION)})
    with lowering_for(target.features):
        compiled = tvm.tirx.build(module, target=target.tvm())
    compiled.export_library(str(path), fcompile=linker(target).fcompile)
