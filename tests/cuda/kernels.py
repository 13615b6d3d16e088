"""Scheduled PrimFuncs of one kernel as CUDA source, run by the emulator."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from intbert.compiler.cuda.imports import cuda_source, source_only
from intbert.compiler.cuda.launches import launches
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
    source = kernels_source({"main": function}, target)
    extents = dict(_thread_extents(function.body))

    def of(kind: str) -> tuple[int, int, int]:
        return extents.get(f"{kind}.x", 1), extents.get(f"{kind}.y", 1), extents.get(f"{kind}.z", 1)

    (launch,) = launches(function)
    return CudaKernel(
        source,
        Launch(of("blockIdx"), of("threadIdx"), launch.dynamic_shared_bytes),
        tuple(str(buffer.name) for buffer in function.params),
    )


def kernels_source(functions: Mapping[str, Any], target: Target) -> str:
    """The CUDA source of scheduled PrimFuncs: the kernels of ``linear`` are called ``linear_kernel`` and so on."""
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in functions.items()})
    assert target.cuda is not None
    with source_only(), lowering_for(target.cuda.features):
        return cuda_source(tvm.compile(module, target=target.tvm()).mod)


def elementwise(function: str, source: str, *operands: NDArray[np.int64]) -> NDArray[np.int32]:
    """What the device function ``function`` of int32, which ``source`` defines, gives for each of ``operands``."""
    parameters = "".join(f"const int* __restrict__ x{index}, " for index in range(len(operands)))
    elements = ", ".join(f"x{index}[i]" for index in range(len(operands)))
    kernel = f"""{source}
extern "C" __global__ void elements({parameters}int* __restrict__ result, const int* count) {{
  for (int i = 0; i < *count; ++i) result[i] = {function}({elements});
}}
"""
    result = np.zeros(len(operands[0]), np.int32)
    size = np.array([len(result)], np.int32)
    run(kernel, "elements", Launch((1, 1, 1), (1, 1, 1)), [*(each.astype(np.int32) for each in operands), result, size])
    return result


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
