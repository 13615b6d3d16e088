"""The models whose difference is a layer."""

from collections.abc import Mapping

from peer_bench.models import BenchmarkModel, Shape

SHALLOW, DEEP = 1, 3

LAYERS: Mapping[str, Shape] = {
    "minilm": Shape(layers=1, hidden=384, heads=12, intermediate=1536),
    "bert-base": Shape(layers=1, hidden=768, heads=12, intermediate=3072),
}
"""One layer of each model."""


def model_of_depth(name: str, layers: int) -> BenchmarkModel:
    """So many of these layers, with random weights, behind an embedding."""
    shape = LAYERS[name]
    return BenchmarkModel(
        f"{name}-of-{layers}", pooling=False, shape=Shape(layers, shape.hidden, shape.heads, shape.intermediate)
    )
