"""Ternary weight splitting: one ternary matrix as the sum of two binary ones.

Bai et al., "BinaryBERT: Pushing the Limit of BERT Quantization", ACL 2021, section 3.1, equations 5 to 7.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ternary import ternary_scale, ternary_signs


def split_ternary(weight: Tensor, per_row: bool = False) -> tuple[Tensor, Tensor]:
    """The latent weights ``(w1, w2)`` [N, K] of two binary matrices that stand for the ternary one of ``weight``.

    ``w1 + w2 = weight``, and the binary weights of w1 and w2, each with half the ternary scale, add up to the ternary
    weights. Where the paper's own choice for the zeros is too one-sided for that (then its factor ``m`` leaves
    (0, 1), as happens to matrices of nearly one sign), the zeros are shared out evenly between both.
    """
    rows = weight if per_row else weight.reshape(1, -1)
    zeros = ternary_signs(rows, per_row=True) == 0
    shift = _shift(rows, zeros)
    first, second = torch.where(rows > 0, rows + shift, shift), torch.where(rows > 0, -shift, rows - shift)
    factor = _factor(rows, zeros, first, second)
    swapped = _alternate(rows, zeros) & ((factor <= 0) | (factor >= 1))
    first, second = torch.where(swapped, second, first), torch.where(swapped, first, second)
    factor = _factor(rows, zeros, first, second)
    first = torch.where(zeros, first, factor * rows)
    second = torch.where(zeros, second, (1 - factor) * rows)
    return first.reshape(weight.shape), second.reshape(weight.shape)


def _shift(rows: Tensor, zeros: Tensor) -> Tensor:
    """The paper's ``b`` [N, 1]: what makes the mean magnitudes half the ternary scale."""
    missing = ternary_scale(rows, per_row=True) * rows.shape[1] - rows.abs().sum(1, keepdim=True)
    return missing / (2 * zeros.sum(1, keepdim=True).clamp(min=1))


def _factor(rows: Tensor, zeros: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The paper's ``m`` [N, 1]: what makes both mean magnitudes equal."""
    kept = (rows.abs() * ~zeros).sum(1, keepdim=True)
    difference = ((second.abs() - first.abs()) * zeros).sum(1, keepdim=True)
    return torch.where(kept > 0, (kept + difference) / (2 * kept), torch.full_like(kept, 0.5))


def _alternate(rows: Tensor, zeros: Tensor) -> Tensor:
    """Which pairs to swap so that the larger part lies in turn in the first and in the second matrix.

    By falling magnitude, so that what is left over is at most the largest of the zeros, less than any other weight.
    """
    rank = torch.where(zeros, rows.abs(), -1.0).argsort(dim=1, descending=True).argsort(dim=1)
    larger_first = rows > 0
    return zeros & (larger_first != (rank % 2 == 0))
