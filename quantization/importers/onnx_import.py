"""A quantized ONNX graph -> a mixed QuantizedModel."""

from __future__ import annotations

from pathlib import Path

from ...compiler.model import HeadKind, QuantizedModel
from ...errors import GraphError
from . import float_rules, quantized_rules, shape_rules
from .assembly import Assembly
from .folder import OnnxModel, find
from .interpreter import Interpreter
from .onnx_graph import Graph, read_graph
from .probe import Probe

SCHEMES = {True: "onnx-dynamic", False: "onnx-qdq"}
"""Whether activations are quantized at run time -> the scheme's name."""
BARE_OUTPUTS = ("last_hidden_state", "token_embeddings")


def import_onnx(path: Path) -> QuantizedModel:
    """The QuantizedModel of an ONNX graph; GraphError that names what cannot be mapped."""
    source = find(path)
    graph = read_graph(source.file)
    try:
        return _import(source, graph)
    except GraphError as error:
        raise GraphError(f"{source.file}: {error}") from None


def _import(source: OnnxModel, graph: Graph) -> QuantizedModel:
    architecture = source.configuration.architecture
    outputs = _outputs(graph, architecture.head.kind)
    probe = Probe.of(graph, architecture)
    assembly = Assembly(architecture, probe)
    operators = assembly.take(Interpreter(graph, probe).run(outputs))
    if not assembly.activations and not assembly.dynamic:
        raise GraphError("no activation is quantized; quantize the model first")
    left_out = [name for name in graph.outputs if name not in outputs]
    notes = [*source.configuration.notes, *(f"output '{name}' of the graph was left out" for name in left_out)]
    return QuantizedModel(
        architecture=architecture,
        scheme=SCHEMES[bool(operators.dynamic)],
        weights=assembly.weights,
        activations=assembly.activations,
        provenance={"source": source.name, "file": source.file.name, "opset": graph.opset, "notes": notes},
        float_operators=operators,
        tokenizer=source.tokenizer,
    )


def _outputs(graph: Graph, head: HeadKind) -> tuple[str, ...]:
    """The outputs that the head computes."""
    names = graph.outputs
    if head is HeadKind.QUESTION_ANSWERING:
        wanted = 2
    elif head in (HeadKind.NONE, HeadKind.MEAN_POOLING):
        named = [name for name in names if name in BARE_OUTPUTS]
        return (named[0],) if named else names[:1]
    else:
        wanted = 1
    if len(names) != wanted:
        raise GraphError(
            f"the graph has the outputs {', '.join(names)}, a head for {head.value} has {wanted}; "
            "export it with its logits only, and give the config.json of this graph"
        )
    return names


RULE_MODULES = (quantized_rules, shape_rules, float_rules)
"""Importing them registers the rules."""
