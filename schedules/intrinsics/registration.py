"""How an operation of ours becomes known to TVM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import ir, tirx
from tvm.ir import _ffi_api as ir_ffi
from tvm.tirx.op import register_intrin_lowering


def register_operation(name: str, description: str) -> None:
    """Makes ``name`` ("intbert.operation") an operation without side effects."""
    ir_ffi.RegisterOp(name, description)
    ir.register_op_attr(name, "TCallEffectKind", tirx.CallEffectKind.Pure.value)
    ir.register_op_attr(name, "TScriptPrinterName", name.partition(".")[2])


def register_elementwise(
    name: str, description: str, lower: Callable[[Any], Any], on_gpu: Callable[[Any], Any] | None = None
) -> None:
    """The same for one that TVM vectorizes like an addition, and that ``lower`` turns into what the target has.

    ``on_gpu``: what does so for GPUs, where it is something else.
    """
    register_operation(name, description)
    ir.register_op_attr(name, "TVectorizable", True)
    register_intrin_lowering(name, "llvm", f=lower)
    register_intrin_lowering(name, "cuda", f=on_gpu or lower)


def device_function(name: str, source: str) -> Callable[[Any], Any]:
    """For ``on_gpu``: the CUDA function ``name``, which ``source`` defines, of the operation's scalar arguments."""

    def lower(call: Any) -> Any:
        dtype = str(call.ty.dtype)
        assert lanes_of(dtype) == 1, f"{name} is of scalars; schedules for GPUs must not vectorize it"
        return tirx.call_intrin(dtype, "tirx.cuda.func_call", name, *call.args, source)

    return lower


def lanes_of(dtype: str) -> int:
    """How many elements a value of ``dtype`` has."""
    return int(dtype.partition("x")[2] or 1)


def constant_of(value: int, element: str, lanes: int) -> Any:
    """TIR: ``value`` in every lane; a scalar for one lane."""
    scalar = tirx.const(value, element)
    return scalar if lanes == 1 else tirx.Broadcast(scalar, lanes)
