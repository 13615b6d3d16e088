"""The weight tensors of one or several linears that read the same activation, as one matrix for one operator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BoundsError, QuantizedModelError
from .model import Quantization, QuantizedModel, WeightTensor
from .operators.epilogues import Epilogue
from .operators.fixed_point import NARROW_LIMIT
from .operators.linear import Linear
from .operators.unpack import AddedColumns
from .operators.value_range import Range
from .packing import Packing

INPUT_ALIGNMENT = 64
"""What the fastest linear strategy needs the inputs to be a multiple of."""
MAX_AMPLIFIED_BIAS = 2**28
"""A bias is not multiplied beyond it: the accumulator beside it must fit int32."""


def common_packing(packings: Sequence[Packing | None]) -> Packing | None:
    """The packing of the fewest bits that holds whatever each of ``packings`` holds; None where only int8 does.

    Packings that agree stay as they are: the matrix keeps its true size.
    """
    if len(set(packings)) == 1:
        return packings[0]
    known = [packing for packing in packings if packing is not None]
    if len(known) < len(packings):
        return None
    if all(packing.mid_rise for packing in known):
        return max(known, key=lambda packing: packing.bits)
    bits = max(packing.limit for packing in known).bit_length() + 1
    return Packing(bits) if bits <= 7 else None


@dataclass(frozen=True)
class LinearWeights:
    """What a :class:`Linear` multiplies its activation by, and the scale of what it accumulates."""

    name: str
    weight: NDArray[np.int8]
    """[N, K], or [N, K + D] where channels are duplicated; ``gain`` included."""
    bias: NDArray[np.int32]
    """[N]: the input's zero point and ``gain`` included."""
    scale: NDArray[np.float64]
    """[N]: of the accumulators."""
    input_range: Range
    packing: Packing | None = None
    gain: int = 1
    unit: int = 1
    """What the packed values are multiples of, before ``gain``: a power of two."""
    added: AddedColumns | None = None
    duplicated: tuple[int, ...] = ()
    """The D input channels that the activation must hold a second time, behind the others."""

    def operator(self, epilogue: Epilogue) -> Linear:
        """The linear layer with ``epilogue``."""
        gain = self.gain * self.unit
        return Linear(self.name, self.weight, self.bias, epilogue, self.packing, gain, self.added, self.input_range)


def linear_weights(
    model: QuantizedModel, name: str, parts: Sequence[str], source: Quantization, *, amplified: bool
) -> LinearWeights:
    """The linears ``parts``, which read an activation quantized as ``source``, as one whose rows are theirs in order.

    Outlier channel splitting (Zhao et al. 2019, section 3.4) computes ``w x`` as the sum of two columns' products with
    the same activation. So the columns are added, which changes no bit; where their sum leaves int8, the activation's
    channel must be duplicated instead.

    ``amplified``: weights of few bits are multiplied by the largest power of two that int8 holds. Their accumulators
    become as fine as those of 8-bit weights, so that wide scales need not be raised to theirs.
    """
    tensors = [model.weight(f"{part}.weight") for part in parts]
    splits = [_split(model, part, tensor) for part, tensor in zip(parts, tensors, strict=True)]
    base = np.concatenate(
        [tensor.values[:, : tensor.values.shape[1] - len(split)] for tensor, split in zip(tensors, splits, strict=True)]
    )
    merged = np.concatenate([_merged(tensor, split) for tensor, split in zip(tensors, splits, strict=True)])
    bias = np.concatenate([model.weight(f"{part}.bias").values for part in parts]).astype(np.int64)
    bias = bias - source.zero_point * merged.sum(axis=1)
    scale = source.scale * np.concatenate(
        [np.broadcast_to(tensor.scale, (tensor.values.shape[0],)) for tensor in tensors]
    )
    read = Range(source.low, source.limit, source.zero_point)
    if np.abs(merged).max(initial=0) > NARROW_LIMIT:
        weight, duplicated = _duplicated(merged)
        return LinearWeights(name, weight, _int32(name, bias), scale, read, duplicated=duplicated)
    packing = common_packing([tensor.packing for tensor in tensors])
    added = None if packing is None else _added(merged, base)
    unit = 1
    if packing is not None and added is not None and (whole := _packed_whole(merged, packing, added)) is not None:
        packing, unit = whole
        added = None
    largest = int(np.abs(merged).max(initial=1)) if added is not None or packing is None else packing.limit * unit
    gain = _gain(largest, int(np.abs(bias).max(initial=0))) if amplified and packing is not None else 1
    weight = (merged * gain).astype(np.int8)
    return LinearWeights(name, weight, _int32(name, bias * gain), scale / gain, read, packing, gain, unit, added)


def _split(model: QuantizedModel, part: str, weight: WeightTensor) -> NDArray[Any]:
    """The input channels of the last columns of ``weight``; empty where none was split."""
    tensor = model.weights.get(f"{part}.split")
    if tensor is None:
        return np.zeros(0, np.int64)
    split = tensor.values
    inputs = weight.values.shape[1] - len(split)
    if inputs < 1 or split.min(initial=0) < 0 or split.max(initial=0) >= inputs:
        raise QuantizedModelError(
            f"{part}.split names channels outside the {inputs} that a weight of shape {weight.values.shape} with "
            f"{len(split)} split columns reads; quantize it again"
        )
    return split


def _merged(weight: WeightTensor, split: NDArray[Any]) -> NDArray[np.int64]:
    values = weight.values.astype(np.int64)
    inputs = values.shape[1] - len(split)
    merged = values[:, :inputs].copy()
    np.add.at(merged.T, split, values[:, inputs:].T)
    return merged


def _duplicated(merged: NDArray[np.int64]) -> tuple[NDArray[np.int8], tuple[int, ...]]:
    """Columns that leave int8 as sums of several; padded so that the inputs stay as divisible as they were."""
    columns, channels = [np.clip(merged, -NARROW_LIMIT, NARROW_LIMIT)], list[int]()
    rest = merged - columns[0]
    while rest.any():
        found = np.flatnonzero(rest.any(axis=0))
        part = np.clip(rest[:, found], -NARROW_LIMIT, NARROW_LIMIT)
        rest[:, found] -= part
        columns.append(part)
        channels += found.tolist()
    inputs = merged.shape[1]
    alignment = math.gcd(inputs, INPUT_ALIGNMENT)
    padding = -len(channels) % alignment
    columns.append(np.zeros((len(merged), padding), np.int64))
    return np.concatenate(columns, axis=1).astype(np.int8), (*channels, *[0] * padding)


def _added(merged: NDArray[np.int64], base: NDArray[np.int8]) -> AddedColumns | None:
    difference = merged - base
    columns = np.flatnonzero(difference.any(axis=0)).astype(np.int32)
    return AddedColumns(columns, difference[:, columns].astype(np.int8)) if len(columns) else None


def _packed_whole(merged: NDArray[np.int64], base: Packing, added: AddedColumns) -> tuple[Packing, int] | None:
    """How to pack the merged weight itself, and its unit, where that takes less than the base and what is added.

    So it is where every channel was split: two binary weights of one channel are one of -2, 0 and 2.
    """
    common = int(np.gcd.reduce(merged, axis=None)) or 1
    unit = common & -common
    for packing in sorted(
        (Packing(bits, mid_rise) for bits in range(1, 8) for mid_rise in (False, True) if bits > 1 or mid_rise),
        key=lambda packing: packing.bits,
    ):
        if packing.bits * merged.size >= base.bits * merged.size + 8 * added.values.size:
            return None
        if packing.holds(merged // unit):
            return packing, unit
    return None


def _gain(largest: int, bias: int) -> int:
    gain = 1
    while 2 * gain * largest <= NARROW_LIMIT and 2 * gain * bias <= MAX_AMPLIFIED_BIAS:
        gain *= 2
    return gain


def _int32(name: str, bias: NDArray[np.int64]) -> NDArray[np.int32]:
    if np.abs(bias).max(initial=0) >= 2**31:
        raise BoundsError(f"{name}: the bias and the input's zero point leave int32; quantize with coarser scales")
    return bias.astype(np.int32)
