"""Ternary weights: a matrix as one positive number times -1, 0 and 1.

Li, Zhang, Liu, "Ternary Weight Networks", 2016, equations 6 and 7, as Bai et al., "BinaryBERT: Pushing the Limit of
BERT Quantization", ACL 2021, section 2.1, train BERT with it.
"""

from __future__ import annotations

from torch import Tensor

from .fake_quantization import straight_through

THRESHOLD = 0.7
"""Weights below this times the mean magnitude become 0."""


def ternary_signs(weight: Tensor, per_row: bool = False) -> Tensor:
    """-1, 0 or 1 for every weight [N, K], as floats."""
    threshold = THRESHOLD * mean_magnitude(weight, per_row)
    return weight.sign() * (weight.abs() > threshold)


def ternary_scale(weight: Tensor, per_row: bool = False) -> Tensor:
    """The mean magnitude of the weights that do not become 0: a scalar, or [N, 1]; 0 where all are 0."""
    kept = ternary_signs(weight, per_row).abs()
    total, count = weight.abs() * kept, kept
    if per_row:
        return total.sum(1, keepdim=True) / count.sum(1, keepdim=True).clamp(min=1)
    return total.sum() / count.sum().clamp(min=1)


def ternarize(weight: Tensor, per_row: bool = False) -> Tensor:
    """The ternary weights, scale included; gradients pass as if it were the identity."""
    weights = weight.detach()
    return straight_through(weight, ternary_signs(weights, per_row) * ternary_scale(weights, per_row))


def mean_magnitude(weight: Tensor, per_row: bool) -> Tensor:
    """``mean|w|``: a scalar, or [N, 1]."""
    return weight.abs().mean(1, keepdim=True) if per_row else weight.abs().mean()
