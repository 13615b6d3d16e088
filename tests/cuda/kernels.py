"""Scheduled PrimFuncs of one kernel as CUDA source, run by the emulator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from intbert.compiler.cuda.imports import cuda_source, source_only
from intbert.schedules.intrinsics.lowering import lowering_for
from intbert.targets.target import Target
from numpy.typing import NDArray
from tvm import tirx
from tvm.s_tir import SBlockRealize

from .emulation import Launch, run


@dataclass(frozen=True)
class CudaKernel:
    """``source``: what TVM has made of the PrimFunc, whose parameters are called ``parameters``."""

    source: str
    launch: Launch
    parameters: tuple[str, ...]

    def run(self, arguments: Sequence[NDArray[Any]]) -> None:
        """On ``arguments`` in the order of the PrimFunc's, in place."""
        by_name = dict(zip(self.parameters, arguments, strict=True))
        signature = re.findall(r"main_kernel\(([^)]*)\)", self.source)[-1]
        # The code generator orders them by name.
        names = re.findall(r"(\w+)_ptr\b", signature)
        run(self.source, "main_kernel", self.launch, [by_name[name] for name in names])


def cuda_kernel(function: Any, target: Target) -> CudaKernel:
    """``function``, a scheduled PrimFunc that is one kernel, for the GPU of ``target``."""
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    assert target.cuda is not None
    with source_only(), lowering_for(target.cuda.features):
        source = cuda_source(tvm.compile(module, target=target.tvm()).mod)
    extents = dict(_thread_extents(function.body))

    def of(kind: str) -> tuple[int, int, int]:
        return extents.get(f"{kind}.x", 1), extents.get(f"{kind}.y", 1), extents.get(f"{kind}.z", 1)

    return CudaKernel(
        source, Launch(of("blockIdx"), of("threadIdx")), tuple(str(buffer.name) for buffer in function.params)
    )


def _thread_extents(statement: Any) -> list[tuple[str, int]]:
    if isinstance(statement, SBlockRealize):
        return _thread_extents(statement.block.body)
    if isinstance(statement, tirx.SeqStmt):
        return [pair for each in statement.seq for pair in _thread_extents(each)]
    if not isinstance(statement, tirx.For):
        return []
    inner = _thread_extents(statement.body)
    binding = statement.thread_binding
    return inner if binding is None else [(str(binding.thread_tag), int(statement.extent)), *inner]
