"""From nodes to meanings: every node of the graph is evaluated, or turned into an expression, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from .onnx_graph import FUSED, Graph, Node, needed
from .probe import Probe, evaluate
from .values import Array, Known, Value


@dataclass(frozen=True)
class Call:
    """A node with the meanings of its inputs, None for those that are left out."""

    node: Node
    inputs: tuple[Value | None, ...]
    probe: Probe
    opset: int

    def value(self, index: int) -> Value:
        """An input that must be there."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.node.refuse(f"input {index} is missing", "check the file with onnx.checker")
        return found

    def array(self, index: int, attribute: str = "") -> Array | None:
        """An input that must be known; from the ``attribute`` of that name in older operator sets."""
        if index < len(self.inputs) and (found := self.inputs[index]) is not None:
            if not isinstance(found, Known):
                raise self.node.refuse(f"input {index} depends on activations, it must not")
            return found.array
        return np.asarray(self.node.attributes[attribute]) if attribute in self.node.attributes else None


Rule: TypeAlias = Callable[[Call], "Value | tuple[Value, ...]"]
RULES: dict[str, Rule] = {}
"""Of every operator that may read activations; those of other domains with ``domain.`` before their name."""
SPECIAL = {"QuantizeLinear", "DequantizeLinear", "Gather"}
"""Operators whose constants keep their meaning: they have their rules even where every input is known."""


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Registers the rule of ``operators``."""

    def register(function: Rule) -> Rule:
        for operator in operators:
            RULES[operator] = function
        return function

    return register


@dataclass
class Interpreter:
    """Interprets ``graph`` on ``probe``."""

    graph: Graph
    probe: Probe
    values: dict[str, Value] = field(default_factory=dict)

    def run(self, outputs: tuple[str, ...]) -> list[Value]:
        """The meanings of ``outputs``; GraphError that names a node which has none."""
        for name, array in self.graph.constants.items():
            self.values[name] = Known(array.shape, f"constant '{name}'", array, True)
        for name, array in self.probe.inputs().items():
            if name in self.graph.inputs:
                array = array.astype(self.graph.inputs[name][1].dtype)
                self.values[name] = Known(array.shape, f"input '{name}'", array, False)
        for node in needed(self.graph, outputs):
            results = self._apply(node)
            self.values.update(zip(node.outputs, results, strict=False))
        return [self.values[name] for name in outputs]

    def _apply(self, node: Node) -> tuple[Value, ...]:
        missing = [name for name in node.inputs if name and name not in self.values]
        if missing:
            raise node.refuse(f"reads '{missing[0]}', which nothing writes before it", "check the file")
        inputs = tuple(self.values[name] if name else None for name in node.inputs)
        call = Call(node, inputs, self.probe, self.graph.opset)
        if node.op_type not in SPECIAL and all(value is None or isinstance(value, Known) for value in inputs):
            return known(call)
        function = RULES.get(f"{node.domain}.{node.op_type}" if node.domain else node.op_type)
        if function is None:
            raise node.refuse(
                "this operator on activations has no counterpart here",
                FUSED.get(node.op_type, "export the model anew as transformers defines it"),
            )
        results = function(call)
        return results if isinstance(results, tuple) else (results,)


def known(call: Call) -> tuple[Known, ...]:
    """The node evaluated, all its inputs being known."""
    arrays = [value.array if isinstance(value, Known) else None for value in call.inputs]
    constant = all(value is None or (isinstance(value, Known) and value.constant) for value in call.inputs)
    results = evaluate(call.node, arrays, call.opset)
    return tuple(Known(array.shape, call.node.where, array, constant) for array in results)
