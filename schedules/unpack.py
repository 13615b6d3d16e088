"""How packed weights are unpacked, which lie in memory at their true size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm.s_tir import Schedule

from .choices import choose_tiles
from .vectors import vector_width

CHUNKS = 8
"""Every plane of packed values is a whole number of eighths (see the compiler's packing)."""


@dataclass(frozen=True)
class AddedValues:
    """int8 values that are added to some columns of a packed weight, times ``gain``: of split channels."""

    columns: int
    gain: int
    exact: bool
    """Whether sums need no reduction modulo 256 to be the weight."""


@dataclass(frozen=True)
class PackedWeight:
    """A weight whose blocks of channels are packed, each by itself: ``value = code * step + offset``, and what is
    ``added``."""

    chunk: int
    """Bytes of each of the eight chunks of a block."""
    bits: int
    """Of a code, which is divided into fields of 4, 2 and 1 bits."""
    step: int
    offset: int
    added: AddedValues | None = None

    @property
    def parts(self) -> int:
        """What a value is put together from: fields of bits, and what is added to split channels."""
        return self.bits.bit_count() + (self.added is not None)

    def fits_registers(self, vector_bytes: int) -> bool:
        """Whether micro-kernels should unpack it in registers, a vector of so many bytes at a time.

        They do so again for every tile of rows: that is for free where a vector takes few instructions only.
        """
        return self.parts == 1 and self.chunk % vector_bytes == 0


def unpack_weight(sch: Schedule, packed: PackedWeight, lanes: int, loop: Any = None) -> None:
    """The block ``weight`` in vectors of ``2 * lanes`` bytes, block by block of channels, eight chunks side by side.

    A vector of packed bytes thus serves all the values it holds while it lies in registers or the nearest cache.
    ``loop``: around the products whose weights are unpacked together; None: all are, before the first product.
    """
    weight = sch.get_sblock("weight")
    if loop is not None:
        sch.compute_at(weight, loop, preserve_unit_loops=True)
    block, *value = sch.get_loops(weight)[-4:]
    width = vector_width(packed.chunk, 2 * lanes)
    part, vectors, lane = sch.split(sch.fuse(*value), [CHUNKS, packed.chunk // width, width])
    groups, vector = choose_tiles(sch, vectors, 1)
    sch.reorder(block, groups, vector, part, lane)
    sch.vectorize(lane)
    sch.unroll(part)
    if loop is None:
        sch.parallel(block)


def unpack_in_registers(sch: Schedule, loop: Any) -> None:
    """The block ``weight`` inside ``loop``, around the products of one vector of weights a block of channels."""
    weight = sch.get_sblock("weight")
    sch.compute_at(weight, loop, preserve_unit_loops=True)
    block, _, column, inner = sch.get_loops(weight)[-4:]
    sch.vectorize(sch.fuse(column, inner))
    sch.unroll(block)
