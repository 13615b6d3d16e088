"""Packed weights in 32-bit registers: expressions that take codes out of the planes of the compiler's packing.

Eight *places*, an eighth of the inputs each, lie side by side in a stage: 16 neighbouring activations of each place are
its 8 *pieces* of 16 bytes, and the codes of ``bits`` bits that belong to them are ``bits`` pieces, one for each bit of
a code. Piece ``r`` of a field of ``w`` bits holds the places ``r``, ``r + w``, ``r + 2 w``, ...: place ``q`` in the
bits ``w (q / w)`` to ``w (q / w) + w - 1`` of every byte. So a field of place ``q`` is in the same byte as that of
place ``q + 4``, four bits below, and a shift and a mask give both: eight codes of up to 4 bits a register.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...unpack import PackedWeight
from ..inline_ptx import masked_and_inverted

PIECE = 16
"""Bytes."""
PLACES = 8
DEPTH = PLACES * PIECE
"""Inputs of a stage."""


@dataclass(frozen=True)
class Field:
    """``width`` bits of every code, in the pieces from ``piece`` on."""

    width: int
    piece: int

    @property
    def places_of_piece(self) -> int:
        """How many of the places 0, 2, 1 and 3, in this order, follow each other in one piece."""
        return 4 // self.width

    @property
    def register(self) -> str:
        """The array that holds a lane's register of each column step."""
        return f"field{self.width}"


def fields(bits: int) -> tuple[Field, ...]:
    """Of codes of ``bits`` bits, in the order of memory."""
    assert 1 <= bits <= 7
    found: list[Field] = []
    for width in (4, 2, 1):
        if bits & width:
            found.append(Field(width, sum(field.width for field in found)))
    return tuple(found)


def run_pieces(bits: int) -> int:
    """How many neighbouring pieces of memory a stage takes: as many as the narrowest field has bits."""
    return bits & -bits


def nibbles(parts: tuple[Field, ...], index: str, shift: int = 0) -> str:
    """Eight codes of ``parts``, together at most 4 bits: of ``place`` in the lower half of every byte, of ``place + 4``
    in the upper half, above ``shift`` zeros each. ``index``: of the column step."""
    expressions: list[str] = []
    for field in parts:
        register = f"{field.register}[{index}]"
        if field.width == 4:
            expressions.append(register)
        else:
            mask = 0x11111111 * ((1 << field.width) - 1 << shift)
            moved = f"(place / {field.width} * {field.width} - {shift})"
            shifted = f"({register} >> ({moved} > 0 ? {moved} : 0) << ({moved} < 0 ? -{moved} : 0)"
            expressions.append(f"({shifted}) & {mask:#010x}u)")
        shift += field.width
    assert shift <= 4
    return " | ".join(expressions)


@dataclass(frozen=True)
class CenteredBytes:
    """Codes of up to 4 bits as multiples of their values, a byte each: nothing is left to be done for the offset.

    A code in the highest bits of a byte, the first of them inverted, is ``code - 2^(bits - 1)`` of these units. Where
    the values are odd, half a unit more is the value; elsewhere, all bits inverted, it is the value's opposite.
    """

    packed: PackedWeight

    @staticmethod
    def holds(packed: PackedWeight) -> bool:
        """Whether the codes of ``packed`` have room, and sums of these bytes times int8 in 32 bits."""
        return packed.bits <= 4 and PLACES * packed.chunk < 2**17

    @property
    def _odd(self) -> bool:
        packed = self.packed
        odd = -2 * packed.offset == packed.step * (2**packed.bits - 1)
        assert odd or -packed.offset == packed.step * (2 ** (packed.bits - 1) - 1)
        return odd

    def declared(self, index: str) -> str:
        """Declares ``low`` and ``high``: four of ``place``, and of ``place + 4``."""
        bits = self.packed.bits
        mask = (1 << bits) - 1 << 8 - bits
        inverted = 0x80 | 0x80 >> bits if self._odd else mask ^ 0x80
        parts = fields(bits)
        if len(parts) == 1:
            codes, shift = f"{parts[0].register}[{index}]", f"({4 - bits} - place / {bits} * {bits})"
        else:
            codes, shift = nibbles(parts, index, 4 - bits), "0"
        constants = [f"{byte * 0x01010101:#010x}u" for byte in (mask, inverted)]
        return (
            f"const unsigned codes = {codes};\nunsigned low, high;\n"
            + masked_and_inverted("low", f"codes << {shift} + 4", *constants)
            + masked_and_inverted("high", f"codes << {shift}", *constants)
        )

    def values(self, total: str) -> str:
        """The sum of values that ``total``, of as many of these bytes, stands for."""
        bits, step = self.packed.bits, self.packed.step
        shift, factor = (7 - bits, step // 2) if self._odd else (8 - bits, -step)
        return f"({total} >> {shift}) * ({factor})"


def code_bytes(bits: int, index: str) -> str:
    """Declares ``low`` and ``high``: four codes of ``place``, and of ``place + 4``, a byte each."""
    parts = fields(bits)
    if bits <= 4:
        return (
            f"const unsigned codes = {nibbles(parts, index)};\n"
            "const unsigned low = codes & 0x0f0f0f0fu, high = codes >> 4 & 0x0f0f0f0fu;\n"
        )
    return (
        f"const unsigned lower = {nibbles(parts[:1], index)}, upper = {nibbles(parts[1:], index)};\n"
        "const unsigned low = (lower & 0x0f0f0f0fu) | (upper << 4 & 0xf0f0f0f0u);\n"
        "const unsigned high = (lower >> 4 & 0x0f0f0f0fu) | (upper & 0xf0f0f0f0u);\n"
    )
