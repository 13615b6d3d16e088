"""The probe: inputs on which the parts of a graph that hold no weights are evaluated, and what they must yield.

Exporters spell the attention mask, the position ids and the shapes of the heads in dozens of operators, and every
release differently. So they are not matched but evaluated, on padded sentences, and their results are checked where
they meet the weights and the scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import Architecture
from ...errors import GraphError
from .onnx_graph import Graph, Node

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LEAST_MASK = -1e4
"""What a masked score is lowered by, at least: its exp is 0 in float32."""
SENTENCES, TOKENS = 2, 5


@dataclass(frozen=True)
class Probe:
    """Token ids, mask and types [B, T]; every sentence but the first ends with padding."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    types: NDArray[np.int64]

    @classmethod
    def of(cls, graph: Graph, architecture: Architecture) -> Probe:
        """A probe of the shapes that ``graph`` takes; GraphError where its inputs are not those of a BERT."""
        unknown = [name for name in graph.inputs if name not in INPUTS]
        missing = [name for name in INPUTS[:2] if name not in graph.inputs]
        if unknown or missing:
            problem = f"has an input '{unknown[0]}'" if unknown else f"has no input '{missing[0]}'"
            raise GraphError(
                f"the graph {problem}; export it with the inputs {', '.join(INPUTS)} (types: where the model has them)"
            )
        shape, _ = graph.inputs[INPUTS[0]]
        if len(shape) != 2:
            raise GraphError(f"input_ids has shape {list(shape)}, a batch of token ids has two dimensions")
        batch, length = shape[0] or SENTENCES, shape[1] or min(TOKENS, architecture.positions)
        if not 2 <= length <= architecture.positions:
            raise GraphError(
                f"the graph takes {length} tokens, the model has {architecture.positions} positions and two tokens "
                "are needed; export it with a dynamic sequence axis"
            )
        random = np.random.default_rng(0)
        mask = np.ones((batch, length), np.int64)
        mask[1:, -1] = 0
        mask[2:, -2:] = 0
        if batch == 1:
            mask[0, -1] = 0
        candidates = [token for token in range(architecture.vocabulary) if token != architecture.pad_token_id]
        ids = np.where(mask == 1, random.choice(candidates, mask.shape), architecture.pad_token_id)
        types = np.where(mask == 1, np.arange(length) % max(1, architecture.token_types), 0)
        return cls(ids.astype(np.int64), mask, types)

    def inputs(self) -> dict[str, NDArray[np.int64]]:
        """By the names of the graph's inputs."""
        return dict(zip(INPUTS, (self.ids, self.mask, self.types), strict=True))

    def positions(self, offset: int) -> NDArray[np.int64]:
        """[B, T]: the row of the position table that every token reads."""
        return np.broadcast_to(offset + np.arange(self.ids.shape[1]), self.ids.shape)

    def is_mask(self, added: NDArray[Any]) -> bool:
        """Whether adding ``added`` to scores [B, heads, T, T] removes the padding and nothing else."""
        batch, length = self.mask.shape
        try:
            added = np.broadcast_to(added, (batch, added.shape[-3] if added.ndim > 2 else 1, length, length))
        except ValueError:
            return False
        kept = np.broadcast_to((self.mask == 1)[:, None, None, :], added.shape)
        return bool((added[kept] == 0).all() and (added[~kept] <= LEAST_MASK).all())


def evaluate(node: Node, inputs: list[NDArray[Any] | None], opset: int) -> list[NDArray[Any]]:
    """The node's outputs for these arrays, by ONNX's reference implementation; GraphError that names the node."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type == "Constant" and "value" in node.attributes:
        return [numpy_helper.to_array(node.attributes["value"])]
    if node.domain:
        raise node.refuse("this operator is not supported", "export and quantize with the standard operators")
    feeds = {name: array for name, array in zip(node.inputs, inputs, strict=True) if array is not None}
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.outputs if name]
    graph = helper.make_graph([node.proto], "node", infos, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, feeds)]
    except Exception as error:  # it raises what its operators' NumPy code raises
        raise node.refuse(f"cannot be evaluated ({error})", "check the file with onnx.checker") from None
