"""Integers of 1 to 7 bits at their true size: the one format of disk and of artifacts.

The unsigned code of a value is divided into fields of 4, 2 and 1 bits (5 = 4 + 1), the lowest bits first, and each
field is stored as a plane of its own: byte ``i`` of the plane of a field of ``w`` bits holds, in its bits ``w p`` to
``w p + w - 1``, the field of value ``i + p * plane length``. So neighbouring bytes unpack to neighbouring values, and
vector units unpack a plane with shifts and masks alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import QuantizedModelError
from ..schedules.lookup.format import WeightLevels

GROUP = 8
"""Values are padded to a multiple of this, so that every plane is whole bytes."""


@dataclass(frozen=True)
class Field:
    """``width`` bits of every code, from bit ``shift`` on; in memory from byte ``offset`` on, ``length`` bytes."""

    width: int
    shift: int
    offset: int
    length: int


@dataclass(frozen=True)
class Packing:
    """Codes of 1 to 7 ``bits``: ``value = code * step + offset``.

    A mid-tread quantizer has the values ``-(2^(bits-1) - 1)`` to ``2^(bits-1) - 1`` and so a zero; a mid-rise one
    has the odd values ``-(2^bits - 1)`` to ``2^bits - 1``: one level more, and no zero. One bit is always mid-rise.
    """

    bits: int
    mid_rise: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 7:
            raise QuantizedModelError(f"packed weights have 1 to 7 bits, not {self.bits}")
        if self.bits == 1 and not self.mid_rise:
            raise QuantizedModelError("weights of 1 bit are -1 and 1: their packing must be mid-rise")

    @property
    def limit(self) -> int:
        """The largest magnitude of a value."""
        return 2**self.bits - 1 if self.mid_rise else 2 ** (self.bits - 1) - 1

    @property
    def step(self) -> int:
        """The distance between the values of neighbouring codes."""
        return 2 if self.mid_rise else 1

    @property
    def offset(self) -> int:
        """The value of code 0."""
        return -self.limit

    @property
    def levels(self) -> WeightLevels:
        """All its values."""
        return WeightLevels(2**self.bits if self.mid_rise else 2**self.bits - 1, self.step, self.offset)

    def check(self, values: NDArray[Any]) -> None:
        """Raises QuantizedModelError unless the ``values`` are int8 and every one has a code."""
        if values.dtype != np.int8:
            raise QuantizedModelError(f"packed weights are int8 in memory, not {values.dtype}")
        valid = self._valid(values)
        if not valid.all():
            kind = "mid-rise" if self.mid_rise else "mid-tread"
            raise QuantizedModelError(
                f"the weight {values[~valid].flat[0]} has no {kind} code of {self.bits} bits; quantize it again"
            )

    def holds(self, values: NDArray[Any]) -> bool:
        """Whether every one of the integers ``values`` has a code."""
        return bool(self._valid(values).all())

    def _valid(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        wide = values.astype(np.int64)
        return (np.abs(wide) <= self.limit) & ((wide - self.offset) % self.step == 0)

    def bytes(self, count: int) -> int:
        """The bytes that ``count`` values take."""
        return padded(count) * self.bits // 8

    def fields(self, count: int) -> tuple[Field, ...]:
        """The fields of ``count`` codes; ``count`` is a multiple of :data:`GROUP`."""
        found: list[Field] = []
        shift = offset = 0
        for width in (4, 2, 1):
            if self.bits & width:
                length = count * width // 8
                found.append(Field(width, shift, offset, length))
                shift, offset = shift + width, offset + length
        return tuple(found)

    def pack(self, values: NDArray[np.int8]) -> NDArray[np.uint8]:
        """int8 [..., n] to uint8 [..., bytes(n)]; what pads is code 0."""
        count = values.shape[-1]
        codes = np.zeros((*values.shape[:-1], padded(count)), np.uint8)
        codes[..., :count] = (values.astype(np.int16) - self.offset) // self.step
        planes = []
        for field in self.fields(codes.shape[-1]):
            parts = codes >> field.shift & (1 << field.width) - 1
            parts = parts.reshape(*codes.shape[:-1], 8 // field.width, field.length)
            planes.append(np.bitwise_or.reduce(parts << _positions(field), axis=-2))
        return np.concatenate(planes, axis=-1)

    def unpack(self, packed: NDArray[np.uint8], count: int) -> NDArray[np.int8]:
        """The inverse of :meth:`pack`: uint8 [..., bytes(count)] to int8 [..., count]."""
        if packed.shape[-1] != self.bytes(count):
            raise QuantizedModelError(
                f"{count} weights of {self.bits} bits take {self.bytes(count)} bytes, there are {packed.shape[-1]}"
            )
        codes = np.zeros((*packed.shape[:-1], padded(count)), np.uint8)
        for field in self.fields(padded(count)):
            plane = packed[..., None, field.offset : field.offset + field.length]
            parts = plane >> _positions(field) & (1 << field.width) - 1
            codes |= parts.reshape(codes.shape) << field.shift
        return (codes[..., :count].astype(np.int16) * self.step + self.offset).astype(np.int8)


def stored_bits(packing: Packing | None) -> int:
    """Bits of a stored weight; one that is not packed is int8."""
    return 8 if packing is None else packing.bits


def padded(count: int) -> int:
    """``count`` raised to a multiple of :data:`GROUP`."""
    return -(-count // GROUP) * GROUP


def _positions(field: Field) -> NDArray[np.uint8]:
    return np.arange(8 // field.width, dtype=np.uint8)[:, None] * field.width
