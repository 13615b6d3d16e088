"""The structure of the supported encoders: which tensors they have, and which activation every linear reads.

The names are those of :class:`intbert.compiler.model.QuantizedModel`. Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..compiler.model import Architecture, HeadKind


@dataclass(frozen=True)
class Linear:
    """A linear: its name, the activation it reads, its shape, and whether each output has its own scale."""

    name: str
    input: str
    outputs: int
    inputs: int
    per_row: bool = True


def layer_input(layer: int) -> str:
    """The 8-bit activation that encoder layer ``layer`` reads (``layer == layers``: that the head reads)."""
    return "embeddings.output" if layer == 0 else f"layers.{layer - 1}.output_hidden"


def encoder_linears(architecture: Architecture) -> list[Linear]:
    """The linears of all encoder layers, in the order in which they run."""
    hidden, intermediate = architecture.hidden, architecture.intermediate
    attention = architecture.heads * architecture.head_dim
    linears = []
    for layer in range(architecture.layers):
        prefix, source = f"layers.{layer}", layer_input(layer)
        linears += [Linear(f"{prefix}.{name}", source, attention, hidden) for name in ("query", "key", "value")]
        linears += [
            Linear(f"{prefix}.attention_output", f"{prefix}.context", hidden, attention),
            Linear(f"{prefix}.intermediate", f"{prefix}.attention_hidden", intermediate, hidden),
            Linear(f"{prefix}.output", f"{prefix}.activation_output", hidden, intermediate),
        ]
    return linears


def head_linears(architecture: Architecture) -> list[Linear]:
    """The head's linears. The last one has one scale, so that all its integer outputs share one."""
    hidden, head = architecture.hidden, architecture.head
    source = layer_input(architecture.layers)
    if head.kind is HeadKind.MASKED_LM:
        return [
            Linear("head.transform", source, hidden, hidden),
            Linear("head.decoder", "head.transform_hidden", architecture.vocabulary, hidden, per_row=False),
        ]
    linears = []
    if head.pooler_activation is not None:
        linears.append(Linear("head.pooler", source, hidden, hidden))
        source = "head.pooler_output"
    if head.labels:
        linears.append(Linear("head.classifier", source, len(head.labels), hidden, per_row=False))
    return linears


def linears(architecture: Architecture) -> list[Linear]:
    """All linears, in the order in which they run."""
    return encoder_linears(architecture) + head_linears(architecture)


def norms(architecture: Architecture) -> list[str]:
    """The names of all layer normalizations, in the order in which they run."""
    names = ["embeddings.norm"]
    for layer in range(architecture.layers):
        names += [f"layers.{layer}.attention_norm", f"layers.{layer}.output_norm"]
    if architecture.head.kind is HeadKind.MASKED_LM:
        names.append("head.transform_norm")
    return names


def embeddings(architecture: Architecture) -> dict[str, tuple[int, int]]:
    """Shapes of the embedding tables. The position table keeps the rows before ``position_offset``."""
    tables = {
        "embeddings.word": (architecture.vocabulary, architecture.hidden),
        "embeddings.position": (architecture.positions + architecture.position_offset, architecture.hidden),
    }
    if architecture.token_types:
        tables["embeddings.token_type"] = (architecture.token_types, architecture.hidden)
    return tables


def tensor_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The canonical name and shape of every float tensor."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in embeddings(architecture).items():
        shapes[f"{name}.weight"] = shape
    for name in norms(architecture):
        shapes[f"{name}.gamma"] = shapes[f"{name}.beta"] = (architecture.hidden,)
    for linear in linears(architecture):
        shapes[f"{linear.name}.weight"] = (linear.outputs, linear.inputs)
        shapes[f"{linear.name}.bias"] = (linear.outputs,)
    return shapes


_LAYER_ACTIVATIONS = {
    "query": False,
    "key": False,
    "value": False,
    "context": False,
    "attention_sum": True,
    "attention_stream": True,
    "attention_hidden": False,
    "activation_input": True,
    "activation_output": False,
    "output_sum": True,
    "output_stream": True,
    "output_hidden": False,
}


def wide_activations(architecture: Architecture) -> dict[str, bool]:
    """Every activation name, in the order in which they run; True for those of the wide (15-bit) stream."""
    wide = {"embeddings.sum": True, "embeddings.stream": True, "embeddings.output": False}
    for layer in range(architecture.layers):
        wide |= {f"layers.{layer}.{name}": is_wide for name, is_wide in _LAYER_ACTIVATIONS.items()}
    if architecture.head.pooler_activation is not None:
        wide |= {"head.pooler_input": True, "head.pooler_output": False}
    if architecture.head.kind is HeadKind.MASKED_LM:
        wide |= {"head.transform_input": True, "head.transform_sum": True, "head.transform_hidden": False}
    return wide
