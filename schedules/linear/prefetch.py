"""The weights of the next columns, brought to the second-level cache while the products of these are computed.

All rows pass a tile of columns' weights, and only the first of them waits for memory. That is a small part of the time
for many rows, and much of it for few.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import tirx
from tvm.s_tir import SBlockRealize, Schedule
from tvm.script import tirx as T

from ..rewrite import with_body_of_block, with_body_of_loop
from .blocking import TileLoops

BLOCKS = "intbert.prefetched_blocks"
"""Annotates the innermost loop around a register tile: its n_blocks of columns."""
WEIGHTS = ("weight", "packed_weight")
"""The parameters that hold one block of channels after the other."""
LINE = 64
"""Bytes of a cache line."""
MOST_BYTES = 64 * 1024
"""Weights of a tile of columns beyond which the next ones would drive activations out of the second-level cache."""
MOST_LINES = 96
"""Lines at a time: products wait for more, and memory, not latency, is what limits them."""


def mark_tile(sch: Schedule, loops: TileLoops, blocks: int) -> None:
    """Before each register tile of ``blocks`` n_blocks a part of the next columns' weights is fetched, where a group of
    columns' weights stay while all rows pass; :func:`with_prefetches` must follow."""
    if loops.weights is not None:
        sch.annotate(loops.block, BLOCKS, blocks)


def with_prefetches(function: Any) -> Any:
    """``function`` with the prefetches of :func:`mark_tile`.

    They stay out of the loop over the inputs: a prefetch there keeps LLVM from leaving the sums in registers.
    """
    weight = next((parameter for parameter in function.params if parameter.name in WEIGHTS), None)
    return function if weight is None else function.with_body(_with_prefetches(function.body, (), weight))


def _with_prefetches(statement: Any, outside: tuple[Any, ...], weight: Any) -> Any:
    if isinstance(statement, tirx.SeqStmt):
        return tirx.SeqStmt([_with_prefetches(each, outside, weight) for each in statement.seq])
    if isinstance(statement, SBlockRealize) and not outside:
        block = statement.block
        body = _with_prefetches(block.body, outside, weight)
        return SBlockRealize(statement.iter_values, statement.predicate, with_body_of_block(block, body))
    if not isinstance(statement, tirx.For):
        return statement
    if BLOCKS not in statement.annotations:
        return with_body_of_loop(statement, _with_prefetches(statement.body, (*outside, statement), weight))
    column_groups, row_groups, column_block = outside
    blocks = int(statement.annotations[BLOCKS])
    fetch = NextColumns(weight, blocks, column_groups, row_groups, column_block, row_block=statement)
    if not fetch.pays:
        return statement
    return with_body_of_loop(statement, tirx.SeqStmt([fetch.statement(), statement.body]))


@dataclass(frozen=True)
class NextColumns:
    """The weights of the next ``blocks`` n_blocks: each tile of rows fetches another part of them."""

    weight: Any
    blocks: int
    column_groups: Any
    row_groups: Any
    column_block: Any
    row_block: Any

    @property
    def pays(self) -> bool:
        """Whether it does, as measured on a core with 1 MiB of second-level cache."""
        return self._lines * LINE <= MOST_BYTES and self._share <= MOST_LINES

    def statement(self) -> Any:
        """The part of one tile of rows."""
        row_tile = self.row_groups.loop_var * int(self.row_block.extent) + self.row_block.loop_var
        share = self._share
        line = tirx.Var("line", "int32")
        # The last shares may be filled up with lines that others fetch.
        first = tirx.min(row_tile * share, max(self._lines - share, 0))
        return tirx.For(line, 0, share, tirx.ForKind.SERIAL, tirx.Evaluate(self._prefetch(first + line)))

    @property
    def _share(self) -> int:
        """Lines that one tile of rows fetches."""
        return -(-self._lines // (int(self.row_groups.extent) * int(self.row_block.extent)))

    @property
    def _lines(self) -> int:
        return -(-self.blocks * prod(self._extents[1:]) // LINE)

    @property
    def _extents(self) -> list[int]:
        """Of the weight; an element is a byte."""
        return [int(extent) for extent in self.weight.ty.shape]

    def _prefetch(self, line: Any) -> Any:
        """The n_blocks follow each other in memory: ``line`` may lie in any of them. The last tile fetches itself."""
        tile = self.column_groups.loop_var * int(self.column_block.extent) + self.column_block.loop_var
        tiles = int(self.column_groups.extent) * int(self.column_block.extent)
        block = tirx.min(tile + 1, tiles - 1) * self.blocks
        inner = self._extents[2:]
        address = T.address_of(tirx.BufferLoad(self.weight, [block, line * LINE // prod(inner), *[0] * len(inner)]))
        read, second_level, data = T.int32(0), T.int32(2), T.int32(1)
        return tirx.call_llvm_intrin("void", "llvm.prefetch", address, read, second_level, data)
