"""How a weight matrix of few bits lies in memory as indices into tables, and what those tables hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WeightLevels:
    """The values a weight may have: ``code * step + offset`` for codes from 0 to ``count - 1``."""

    count: int
    step: int
    offset: int

    @property
    def largest(self) -> int:
        """The largest magnitude of a value."""
        return max(abs(self.offset), abs(self.offset + (self.count - 1) * self.step))

    def values(self) -> tuple[int, ...]:
        """All values, by code."""
        return tuple(code * self.step + self.offset for code in range(self.count))


@dataclass(frozen=True)
class LookupFormat:
    """A weight [channels, inputs] as indices: each names the values of ``group`` neighbouring inputs' weights.

    Index ``sum_b code_b * count^b``. A vector of ``n_block * tables`` elements holds, in each of its ``fields``, the
    indices of ``n_block`` channels for ``tables`` groups of inputs. The last groups are filled up with zeros.
    """

    levels: WeightLevels
    channels: int
    inputs: int
    group: int
    entries: int
    """Of a table: a power of two, at least ``count^group``."""
    tables: int
    """Tables that are read at once, side by side in a vector."""
    n_block: int
    fields: int
    dtype: str
    """Of an element of indices, unsigned."""
    parts: int = 1
    """Tables of a group: of the activations, or of what they are made of."""
    adjacent_fields: bool = False
    """Whether the fields of a vector are of neighbouring inputs: for a micro-kernel that reads them in turns. Else the
    first field is of the first inputs, for one that passes over all vectors once a field."""

    def __post_init__(self) -> None:
        assert self.levels.count**self.group <= self.entries
        assert self.fields * self.field_bits <= np.iinfo(self.dtype).bits

    @property
    def field_bits(self) -> int:
        """Bits of an index."""
        return self.entries.bit_length() - 1

    @property
    def steps(self) -> int:
        """Vectors of indices that cover all inputs."""
        return -(-self.inputs // (self.group * self.tables * self.fields))

    @property
    def groups(self) -> int:
        """Indices of a channel, those that fill up included."""
        return self.steps * self.fields * self.tables

    @property
    def table_vectors(self) -> int:
        """Vectors of tables of a row of activations."""
        return self.steps * self.fields

    @property
    def lanes(self) -> int:
        """Entries of a vector's tables."""
        return self.tables * self.parts * self.entries

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the indices."""
        return self.channels // self.n_block, self.steps, self.n_block, self.tables

    def index(self, channel: Any, group: Any) -> tuple[Any, Any, Any, Any]:
        """The element that holds the index of ``channel`` for ``group``; integers or TIR expressions."""
        step = self.step(group // self.tables)
        return channel // self.n_block, step, channel % self.n_block, group % self.tables

    def step(self, vector: Any) -> Any:
        """The vector of indices that names entries of the tables ``vector``; an integer or a TIR expression."""
        return vector // self.fields if self.adjacent_fields else vector % self.steps

    def pack(self, weight: NDArray[Any]) -> NDArray[Any]:
        """The indices of a weight [channels, inputs] of these levels' values; shape and dtype as said above."""
        codes = np.zeros((self.channels, self.groups * self.group), np.int64)
        codes[:, : self.inputs] = (weight.astype(np.int64) - self.levels.offset) // self.levels.step
        powers = self.levels.count ** np.arange(self.group)
        indices = (codes.reshape(self.channels, self.groups, self.group) * powers).sum(axis=-1)
        vectors = (self.steps, self.fields) if self.adjacent_fields else (self.fields, self.steps)
        blocks = indices.reshape(self.channels // self.n_block, self.n_block, *vectors, self.tables)
        if self.adjacent_fields:
            blocks = blocks.swapaxes(2, 3)
        shifts = (np.arange(self.fields) * self.field_bits)[:, None, None]
        packed = (blocks << shifts).sum(axis=2)
        return np.ascontiguousarray(packed.transpose(0, 2, 1, 3).astype(self.dtype))

    def table_weights(self) -> NDArray[np.int64]:
        """[entries, group]: the weights' values that each index stands for; zeros where no index does."""
        count = self.levels.count
        indices = np.arange(self.entries)[:, None]
        values = np.array(self.levels.values())[indices // count ** np.arange(self.group) % count]
        return np.where(indices < count**self.group, values, 0)

    def most_lookups(self, reach: int, limit: int) -> int:
        """How many entries add up to at most ``limit`` in magnitude, for activations of at most ``reach``."""
        return limit // (self.group * self.levels.largest * reach)


def weights_of_an_index(levels: int, entries: int) -> int:
    """How many weights of ``levels`` values one index of ``entries`` names."""
    return math.floor(math.log(entries, levels) + 1e-9)
