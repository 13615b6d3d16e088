"""Weights of fewer than 8 bits inside a kernel: TE that unpacks :class:`~intbert.compiler.packing.Packing`'s planes.

Every plane is a whole number of *chunks*: an eighth of the values, so one bit of each. With value ``f = q * chunk + i``
and a field of ``w`` bits, the byte is ``q % w`` chunks into its plane, at ``i``, and the shift is ``w * (q // w)``:
where a schedule unrolls ``q``, neighbouring values come from neighbouring bytes by one shift and one mask.
"""

from __future__ import annotations

from typing import Any

from tvm import te

from ...schedules.layout import PackedLayout
from ..packing import GROUP, Packing, padded
from . import expressions as ex


def chunk_length(count: int) -> int:
    """Bytes of a chunk of ``count`` values."""
    return padded(count) // GROUP


def unpack_expression(packing: Packing, count: int, byte: Any, f: ex.Expr) -> ex.Expr:
    """TE: value ``f`` of ``count``, int8; ``byte(i)`` reads byte i of the packed values.

    The arithmetic is modulo 256, in uint8: codes of 7 bits, doubled, leave int8 before the offset brings them back.
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
    return ((code + code if packing.step == 2 else code) + _uint8(packing.offset)).astype("int8")


def _uint8(value: int) -> ex.Expr:
    return ex.constant(value % 256, "uint8")


def weight_stage(packing: Packing, packed: Any, layout: PackedLayout, n: int, k: int) -> Any:
    """TE: the int8 weight [n, k] in ``layout``, from the planes of the values in that layout's order."""
    shape = layout.shape(n, k)

    def element(*index: Any) -> ex.Expr:
        f = index[0]
        for extent, position in zip(shape[1:], index[1:], strict=True):
            f = f * extent + position
        return unpack_expression(packing, n * k, lambda i: packed[i], f)

    return te.compute(shape, element, name="weight")
