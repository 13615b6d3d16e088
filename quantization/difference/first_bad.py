"""The first layer whose own error is large, and what explains it."""

from __future__ import annotations

from collections.abc import Sequence

from .result import FirstBad, LayerDifference, WeightDifference
from .values import JOINT, PARTS


def first_bad(
    layers: Sequence[LayerDifference], weights: Sequence[WeightDifference], threshold: float
) -> FirstBad | None:
    """The first of ``layers`` whose own ratio lies below ``threshold`` decibels; None where none does."""
    for layer in layers:
        if layer.own.row_sqnr_db < threshold:
            return FirstBad(layer.name, layer.operators, layer.own.row_sqnr_db, _cause(layer, weights, threshold))
    return None


def _cause(layer: LayerDifference, weights: Sequence[WeightDifference], threshold: float) -> str:
    if layer.grid_sqnr_db is not None and layer.grid_sqnr_db < threshold:
        return f"the scale or the bits of {layer.name} do not suit its values"
    bad = [w.name for w in weights if _belongs(w.name, layer) and w.agreement.sqnr_db < threshold]
    if bad:
        return f"{' and '.join(bad)} differ from the reference"
    return "what it reads loses too much when it is rounded, or its arithmetic is wrong"


def _belongs(weight: str, layer: LayerDifference) -> bool:
    """Whether an operator that computes ``layer`` reads ``weight``."""
    return any(_reads(operator, weight, layer.name) for operator in layer.operators)


def _reads(operator: str, weight: str, layer: str) -> bool:
    if operator == "embeddings":
        return weight.startswith("embeddings.") and not weight.startswith("embeddings.norm.")
    if not operator.endswith(JOINT):
        return weight.startswith(f"{operator}.")
    prefix = operator.removesuffix(JOINT)
    parts = [f"{prefix}.{part}" for part in PARTS]
    return any(weight.startswith(f"{part}.") for part in ([layer] if layer in parts else parts))
