"""Reading an ONNX file: its nodes, constants, inputs and outputs, or what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import GraphError

OPSETS = range(11, 26)
"""Of the standard operators: from per-channel quantization's predecessors on to the newest that was tried."""
FUSED = {
    "QLinearMatMul": "this is the QOperator format; quantize with quant_format=QuantFormat.QDQ",
    "QGemm": "this is the QOperator format; quantize with quant_format=QuantFormat.QDQ",
    "QLinearAdd": "this is the QOperator format; quantize with quant_format=QuantFormat.QDQ",
    "QAttention": "quantize the graph before ONNX Runtime's transformer optimizer fuses it",
    "Attention": "quantize the graph before ONNX Runtime's transformer optimizer fuses it",
    "EmbedLayerNormalization": "quantize the graph before ONNX Runtime's transformer optimizer fuses it",
    "SkipLayerNormalization": "quantize the graph before ONNX Runtime's transformer optimizer fuses it",
    "MatMulNBits": "weight-only quantization leaves the activations float; quantize them too (QDQ or dynamic int8)",
    "If": "export it anew with torch.onnx.export or Optimum, without control flow",
    "Loop": "export it anew with torch.onnx.export or Optimum, without control flow",
}
"""What to do about operators that are not mapped, where there is something."""


@dataclass(frozen=True)
class Node:
    """One operator."""

    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    where: str
    """The operator and its name, for messages."""
    proto: Any

    def refuse(self, why: str, advice: str = "") -> GraphError:
        """The error that names this node."""
        return GraphError(f"{self.where}: {why}" + (f"; {advice}" if advice else ""))


@dataclass(frozen=True)
class Graph:
    """The nodes in the order in which they run, without those that no output needs."""

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    inputs: dict[str, tuple[tuple[int | None, ...], NDArray[Any]]]
    """Name -> (shape, an empty array of its dtype); None: a dimension that may vary."""
    outputs: tuple[str, ...]
    opset: int


def read_graph(path: Path) -> Graph:
    """The graph in ``path``; GraphError where the file is missing, damaged or of an unknown version."""
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise GraphError(f"{path}: no such file; give an .onnx file, or the folder that holds it")
    try:
        model = onnx.load(str(path))
    except DecodeError:
        raise GraphError(f"{path}: truncated or damaged ONNX file; copy it again") from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise GraphError(
            f"{path}: its weights lie in another file that cannot be read ({error}); copy that file beside it"
        ) from None
    if not model.graph.node:
        raise GraphError(f"{path}: no ONNX graph in it; copy it again")
    return _graph(model, path)


def _graph(model: Any, path: Path) -> Graph:
    from onnx import numpy_helper

    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset not in OPSETS:
        raise GraphError(
            f"{path}: opset {opset} is not supported, {OPSETS[0]} to {OPSETS[-1]} are; "
            "export it anew with opset_version=17"
        )
    try:
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    except (ValueError, TypeError) as error:
        raise GraphError(f"{path}: damaged constant ({error}); copy the file again") from None
    inputs = {value.name: _input(value) for value in model.graph.input if value.name not in constants}
    outputs = tuple(value.name for value in model.graph.output)
    nodes = [_node(node, number) for number, node in enumerate(model.graph.node)]
    return Graph(tuple(nodes), constants, inputs, outputs, opset)


def needed(graph: Graph, outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes that ``outputs`` depend on, in order."""
    wanted, kept = set(outputs), []
    for node in reversed(graph.nodes):
        if wanted & set(node.outputs):
            wanted |= set(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _node(proto: Any, number: int) -> Node:
    from onnx import helper

    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute}
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    name = proto.name or (proto.output[0] if proto.output else f"number {number}")
    operator = f"{domain}.{proto.op_type}" if domain else proto.op_type
    return Node(
        proto.op_type, domain, tuple(proto.input), tuple(proto.output), attributes, f"{operator} '{name}'", proto
    )


def _input(value: Any) -> tuple[tuple[int | None, ...], NDArray[Any]]:
    from onnx import helper

    tensor = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    return shape, np.empty(0, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
