"""Weights of fewer than 8 bits inside a kernel: TE that unpacks :class:`~intbert.compiler.packing.Packing`'s planes.

Every plane is a whole number of *chunks*: an eighth of the values, so one bit of each. With value ``f = q * chunk + i``
and a field of ``w`` bits, the byte is ``q % w`` chunks into its plane, at ``i``, and the shift is ``w * (q // w)``:
where a schedule unrolls ``q``, neighbouring values come from neighbouring bytes by one shift and one mask.

The arithmetic is modulo 256, in uint8: codes of 7 bits, doubled, leave int8 before the offset brings them back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from ...schedules.layout import PackedLayout
from ...schedules.unpack import AddedValues, PackedWeight
from ..packing import GROUP, Packing, padded
from . import expressions as ex


@dataclass(frozen=True)
class AddedColumns:
    """What is added to some columns of a packed weight while it is unpacked: the other parts of split channels."""

    columns: NDArray[np.int32]
    """[R]: the input channels."""
    values: NDArray[np.int8]
    """[N, R], modulo 256."""

    def index(self, inputs: int) -> NDArray[np.int32]:
        """[K]: which of the R columns each input channel has; -1 where none."""
        index = np.full(inputs, -1, np.int32)
        index[self.columns] = np.arange(len(self.columns))
        return index


def chunk_length(count: int) -> int:
    """Bytes of a chunk of ``count`` values."""
    return padded(count) // GROUP


def unpack_expression(packing: Packing, count: int, byte: Any, f: ex.Expr, gain: int = 1) -> ex.Expr:
    """TE: ``gain`` (a power of two) times value ``f`` of ``count``, as uint8 modulo 256.

    ``byte(i)`` reads byte i of the packed values.
    """
    chunk = chunk_length(count)
    q, i = f // chunk, f % chunk
    code = None
    for field in packing.fields(padded(count)):
        shift = (q // field.width * field.width).astype("uint8")
        part = byte(field.offset + q % field.width * chunk + i) >> shift & _uint8((1 << field.width) - 1)
        part = part << _uint8(field.shift) if field.shift else part
        code = part if code is None else code | part
    assert code is not None
    scaled = code if packing.step * gain == 1 else code << _uint8((packing.step * gain).bit_length() - 1)
    return scaled + _uint8(packing.offset * gain)


def _uint8(value: int) -> ex.Expr:
    return ex.constant(value % 256, "uint8")


def packed_weight(
    packing: Packing, added: AddedValues | None, layout: PackedLayout, inputs: int, gain: int = 1
) -> PackedWeight:
    """What schedules know about a packed weight that is multiplied by ``gain``."""
    chunk = chunk_length(layout.padded(layout.n_block * inputs))
    return PackedWeight(chunk, packing.bits, packing.step * gain, packing.offset * gain, added)


@dataclass(frozen=True)
class WeightStage:
    """A kernel's arguments that hold a weight, and the int8 tensor in the micro-kernel's layout."""

    arguments: list[Any]
    weight: Any


def weight_stage(
    packing: Packing | None, gain: int, added: AddedColumns | None, layout: PackedLayout, n: int, k: int
) -> WeightStage:
    """TE: the weight [n, k] in ``layout``.

    Each block of output channels is packed by itself, in planes of its values in that layout's order: so a schedule may
    unpack just what its next products need.
    """
    shape = layout.shape(n, k)
    if packing is None:
        weight = te.placeholder(shape, "int8", name="weight")
        return WeightStage([weight], weight)
    blocks, *block = shape
    count = layout.padded(math.prod(block))
    packed = te.placeholder((blocks, packing.bytes(count)), "uint8", name="packed_weight")
    arguments = [packed]
    if added is not None:
        arguments.append(te.placeholder(added.values.shape, "int8", name="added_columns"))
        arguments.append(te.placeholder((k,), "int32", name="added_index"))

    def element(column_block: Any, step: Any, column: Any, inner: Any) -> ex.Expr:
        f = (step * layout.n_block + column) * layout.k_block + inner
        value = unpack_expression(packing, count, lambda i: packed[column_block, i], f, gain)
        if added is not None:
            value = value + _added(arguments[1], arguments[2], layout, (column_block, step, column, inner), gain)
        return value.astype("int8")

    return WeightStage(arguments, te.compute(shape, element, name="weight"))


def _added(values: Any, index: Any, layout: PackedLayout, position: tuple[Any, ...], gain: int) -> ex.Expr:
    """A branch a block of inputs: most have nothing to add."""
    block_n, block_k, n, k = position
    rank = index[block_k * layout.k_block + k]
    found = index[block_k * layout.k_block]
    for other in range(1, layout.k_block):
        found = ex.maximum(found, index[block_k * layout.k_block + other])
    zero = _uint8(0)
    value = values[block_n * layout.n_block + n, ex.maximum(rank, ex.constant(0, "int32"))].astype("uint8")
    scaled = value if gain == 1 else value << _uint8(gain.bit_length() - 1)
    return tirx.if_then_else(found >= 0, ex.select(rank >= 0, scaled, zero), zero)
