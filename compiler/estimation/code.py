"""The assembly of a scheduled kernel, as one function without threads."""

from __future__ import annotations

import copy
import json
from typing import Any

from ...schedules.intrinsics.lowering import lowering_for
from ...targets.target import Target
from ..kernel_library import FUNCTION

COMPUTES = "main_compute_"
"""The function in the assembly that computes; the others check arguments."""


def kernel_assembly(function: Any, target: Target, threads: int) -> str:
    """The assembly of what one of ``threads`` threads does: loops that are shared among them run in this one, its share
    of them. Raises TVM's own errors for a schedule that does not lower."""
    import tvm

    module = tvm.IRModule({FUNCTION: _of_one_thread(function, threads).with_attr("global_symbol", FUNCTION)})
    with lowering_for(target.features):
        compiled = tvm.tirx.build(module, target=target.tvm())
    return compiled.inspect_source("asm")


def _of_one_thread(function: Any, threads: int) -> Any:
    """The function with serial loops in place of parallel ones, in its text: TVM has nothing else that changes them."""
    import tvm

    document = json.loads(tvm.ir.save_json(function))
    nodes = document["nodes"]
    for node in list(nodes):
        data = node.get("data")
        if node["type"] == "tirx.For" and data["kind"] == int(tvm.tirx.ForKind.PARALLEL):
            extent = copy.deepcopy(nodes[data["extent"]])
            share = -(-nodes[extent["data"]["value"]]["data"] // threads)
            extent["data"]["value"] = len(nodes)
            nodes += [{"type": "int", "data": share}, extent]
            data.update(kind=int(tvm.tirx.ForKind.SERIAL), extent=len(nodes) - 1)
    return tvm.ir.load_json(json.dumps(document))
