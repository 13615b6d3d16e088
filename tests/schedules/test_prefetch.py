"""What is fetched while a tile of columns is computed: all of the next one's weights, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
from intbert.compiler.kernels import Shape, alternatives
from intbert.compiler.operators.linear import Linear
from intbert.compiler.packing import Packing
from intbert.schedules.linear.prefetch import BLOCKS, LINE, MOST_BYTES, MOST_LINES
from intbert.schedules.space import all_sketches
from tvm import sym, tirx
from tvm.s_tir import SBlockRealize

from .linear_cases import layer

FEATURES = frozenset({"avx2", "avx512", "avx512_vnni"})
LAYERS = {
    "int8": layer(192, 64, "narrow"),
    "one tile of columns": layer(16, 32, "residual_add"),
    "4-bit": replace(layer(144, 64, "wide"), weight=np.full((144, 64), 16, np.int8), packing=Packing(4), gain=16),
    "3-bit": replace(layer(96, 64, "narrow"), weight=np.full((96, 64), 3, np.int8), packing=Packing(3)),
}


def annotated(statement: Any, outside: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The loops around each annotated one, itself the last."""
    if isinstance(statement, tirx.SeqStmt):
        for each in statement.seq:
            yield from annotated(each, outside)
    elif isinstance(statement, SBlockRealize):
        yield from annotated(statement.block.body, outside)
    elif isinstance(statement, tirx.For):
        loops = (*outside, statement)
        if BLOCKS in statement.annotations:
            yield loops
        yield from annotated(statement.body, loops)


def fetched_lines(loops: tuple[Any, ...]) -> dict[int, set[int]]:
    """Tile of columns -> the cache lines of the weight that are fetched in it."""
    fetch = loops[-1].body.seq[0]
    (load,) = fetch.body.value.args[1].args
    shape = [int(extent) for extent in load.source.ty.shape]
    variables = [(loop.loop_var, int(loop.extent)) for loop in (*loops, fetch)]
    found: dict[int, set[int]] = defaultdict(set)
    for values in product(*(range(extent) for _, extent in variables)):
        analyzer = sym.Analyzer()
        for (variable, _), value in zip(variables, values, strict=True):
            analyzer.bind(variable, tirx.const(value, "int32"))
        index = [int(analyzer.simplify(each)) for each in load.indices]
        byte = sum(position * prod(shape[axis + 1 :]) for axis, position in enumerate(index))
        assert 0 <= byte < prod(shape)
        found[values[0] * variables[2][1] + values[2]].add(byte // LINE)
    return found


def is_fetching(loops: tuple[Any, ...]) -> bool:
    first = loops[-1].body.seq[0]
    return isinstance(first, tirx.For) and first.loop_var.name == "line"


@pytest.mark.parametrize("rows", [1, 8, 12])
@pytest.mark.parametrize("linear", LAYERS.values(), ids=LAYERS)
def test_the_next_columns_are_fetched(linear: Linear, rows: int) -> None:
    (way, *_) = alternatives(linear, Shape(1, rows, rows, linear.inputs, 128, 128, FEATURES))
    functions = [way.finish(sketch) for sketch in all_sketches(way.strategy, way.kernel, way.workload)]
    marked = [(function, loops) for function in functions for loops in annotated(function.body)]
    assert len(marked) == len(functions) / 2  # where all columns pass in a group of rows, nothing follows
    for function, loops in marked:
        shape = [int(extent) for extent in next(p for p in function.params if "weight" in p.name).ty.shape]
        tile_lines = int(loops[-1].annotations[BLOCKS]) * prod(shape[1:]) // LINE
        row_tiles = int(loops[1].extent) * int(loops[3].extent)
        assert is_fetching(loops) == (tile_lines / row_tiles <= MOST_LINES)
        if is_fetching(loops):
            lines = fetched_lines(loops)
            for tile, found in lines.items():
                following = min(tile + 1, len(lines) - 1)
                assert found == set(range(following * tile_lines, (following + 1) * tile_lines))


def test_tiles_that_would_fill_the_cache_fetch_nothing() -> None:
    linear = layer(64, 1040, "narrow")
    (way, *_) = alternatives(linear, Shape(1, 128, 128, linear.inputs, 128, 128, FEATURES))
    (loops,) = annotated(way.finish(way.default()).body)
    assert int(loops[-1].annotations[BLOCKS]) * 16 * 1040 > MOST_BYTES
    assert not is_fetching(loops)
