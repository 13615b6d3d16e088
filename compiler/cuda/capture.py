"""CUDA graphs: the launches of an inference are recorded once and replayed by one call.

TVM's RewriteCUDAGraph moves what depends on static values alone into a function that its runtime captures on the first
call. All parameters of a bucket's function are such values: the runtime gives it the same input tensors every time.
Another function of the bucket, which is not captured, is there to be looked at kernel by kernel.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

CAPTURED = {"num_input": 0}
"""The attributes of a function that is captured: none of its parameters changes from call to call."""
CAPTURED_WEIGHT = "ffi.ArrayGetItem"
"""What takes a weight from their tuple. TVM does not move calls of its own ``vm.builtin.tuple_getitem``."""


def build_pipeline() -> Any:
    """TVM's passes that make a virtual machine's program of scheduled functions, with graphs where they are wanted."""
    return tvm.transform.Sequential(
        [
            relax.transform.ToNonDataflow(),
            relax.transform.RemovePurityChecking(),
            relax.transform.CallTIRRewrite(),
            relax.transform.StaticPlanBlockMemory(),
            _capture_marked,
            relax.transform.LowerAllocTensor(),
            relax.transform.KillAfterLastUse(),
            relax.transform.LowerRuntimeBuiltin(),
            relax.transform.ComputePrimValue(),
            relax.transform.VMShapeLower(),
            relax.transform.AttachGlobalSymbol(),
        ]
    )


@tvm.transform.module_pass(opt_level=0)
def _capture_marked(module: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
    """RewriteCUDAGraph, which looks at all functions, for those with the attributes :data:`CAPTURED`."""
    others = {
        variable: function
        for variable, function in module.functions.items()
        if isinstance(function, relax.Function) and not CAPTURED.items() <= dict(function.attrs or {}).items()
    }
    marked = tvm.IRModule(
        {
            variable: _with_storage_first(function) if isinstance(function, relax.Function) else function
            for variable, function in module.functions.items()
            if variable not in others
        },
        attrs=module.attrs,
    )
    with tvm.transform.PassContext(config={"relax.backend.use_cuda_graph": True}):
        rewritten = relax.transform.RewriteCUDAGraph()(marked)
    rewritten.update(tvm.IRModule(others))
    return rewritten


def _with_storage_first(function: relax.Function) -> relax.Function:
    """Allocated before all else: the pass calls a graph where its first binding was, and the storage must be there."""
    allocates = tvm.ir.Op.get("relax.memory.alloc_storage")
    blocks = []
    for block in function.body.blocks:
        storage = [b for b in block.bindings if isinstance(b.value, relax.Call) and b.value.op == allocates]
        blocks.append(relax.BindingBlock([*storage, *(b for b in block.bindings if b not in storage)]))
    body = relax.SeqExpr(blocks, function.body.body)
    return relax.Function(function.params, body, function.ret_ty, function.is_pure, function.attrs)
