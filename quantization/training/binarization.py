"""Binary weights: a matrix as one positive number times -1 and 1.

Rastegari et al., "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", ECCV 2016, section
3.1 (binary weight networks), as Bai et al., "BinaryBERT: Pushing the Limit of BERT Quantization", ACL 2021, use it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .fake_quantization import straight_through
from .ternary import mean_magnitude


def binary_signs(weight: Tensor) -> Tensor:
    """-1 or 1 for every weight, as floats; 1 for 0, which one bit cannot hold."""
    return torch.where(weight < 0, -1.0, 1.0).to(weight.dtype)


def binary_scale(weight: Tensor, per_row: bool = False) -> Tensor:
    """The mean magnitude, which has the least squared error: a scalar, or [N, 1]."""
    return mean_magnitude(weight, per_row)


def binarize(weight: Tensor, per_row: bool = False) -> Tensor:
    """The binary weights, scale included; gradients pass as if it were the identity."""
    weights = weight.detach()
    return straight_through(weight, binary_signs(weights) * binary_scale(weights, per_row))
