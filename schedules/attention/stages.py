"""What the schedules of attention share: operands packed for dot products, the softmax in lanes."""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from ..choices import choose_vectors
from ..intrinsics.packing import PackingCopies
from ..layout import PackedLayout
from ..vectors import vector_width
from .workload import AttentionWorkload


def lay_out_operands(sch: Schedule, layout: PackedLayout) -> None:
    """Keys as [.., j / n, d / k, n, k], values as [.., d / n, j / k, n, k]: what a micro-kernel reads."""
    sch.transform_layout("key", ("write", 0), lambda b, h, j, d: (b, h, *layout.index(j, d)))
    sch.transform_layout("value", ("write", 0), lambda b, h, j, d: (b, h, *layout.index(d, j)))


def lay_out_rows(sch: Schedule, layout: PackedLayout) -> None:
    """The rows of queries and of probabilities side by side: what a micro-kernel reads as packed rows."""
    for name in ("query", "offset_probabilities"):
        sch.transform_layout(name, ("write", 0), lambda b, h, i, k: (b, h, *layout.index(i, k)))


def split_row_reductions(sch: Schedule, workload: AttentionWorkload) -> None:
    """Each row's maximum and sum as partial ones in int32 lanes, and the maximum and sum of those."""
    for name in ("largest", "total"):
        key = sch.get_loops(sch.get_sblock(name))[-1]
        _, lane = choose_vectors(sch, key, vector_width(workload.length, workload.lanes // 2))
        sch.rfactor(lane, factor_axis=3)


def place_softmax(sch: Schedule, block: Any, rows_together: bool, probabilities: str = "probabilities") -> None:
    """The softmax inside the loop ``block``; its last block is ``probabilities``.

    Row by row, what is one value a row stays in registers; ``rows_together``, such values of all rows are computed
    one after the other, so that their divisions overlap.
    """
    for name, of_a_row in (
        (probabilities, ("reciprocal", "bits", "total", "total_rf")),
        ("exponential", ("largest", "largest_rf")),
    ):
        elements = sch.get_sblock(name)
        sch.compute_at(elements, block, preserve_unit_loops=True)
        place = block if rows_together else sch.get_loops(elements)[-2]
        for row_name in of_a_row:
            sch.compute_at(sch.get_sblock(row_name), place, preserve_unit_loops=True)


def vectorize_softmax(sch: Schedule, workload: AttentionWorkload, probabilities: str = "probabilities") -> None:
    """Lanes for the element-wise blocks and for the partial sums and maxima of a row."""
    for name in (probabilities, "exponential"):
        key = sch.get_loops(sch.get_sblock(name))[-1]
        _, lane = choose_vectors(sch, key, vector_width(workload.length, workload.lanes))
        sch.vectorize(lane)
    partial_reductions = [sch.get_sblock(name) for name in ("total_rf", "largest_rf")]
    steps = []
    for block in partial_reductions:
        lane, batch, head, query, step = sch.get_loops(block)[-5:]
        sch.reorder(batch, head, query, step, lane)
        sch.vectorize(lane)
        steps.append(step)
    for name in ("total", "largest"):
        lane, batch, head, query = sch.get_loops(sch.get_sblock(name))[-4:]
        sch.reorder(batch, head, query, lane)
    for block, step in zip(partial_reductions, steps, strict=True):
        sch.decompose_reduction(block, step)


def vectorize_value_sum(sch: Schedule, workload: AttentionWorkload) -> None:
    """The sum of a head's values over all keys, in lanes of channels."""
    block = sch.get_sblock("value_sum")
    channel, key = sch.get_loops(block)[-2:]
    _, lane = sch.split(channel, [None, vector_width(workload.head_dim, workload.lanes)])
    sch.reorder(key, lane)
    sch.vectorize(lane)
    sch.decompose_reduction(block, key)


def tensorize_packing(sch: Schedule, layout: PackedLayout, copies: PackingCopies) -> None:
    """The copies of keys and values in whole words or vectors."""
    for name, rows, channels, register in (
        ("key", layout.n_block, copies.step, copies.keys),
        ("value", layout.k_block, layout.n_block, copies.values),
    ):
        row, channel = sch.get_loops(sch.get_sblock(name))[-2:]
        row_block, row = sch.split(row, [None, rows])
        channel_block, channel = sch.split(channel, [None, channels])
        sch.reorder(row_block, channel_block, row, channel)
        sch.tensorize(row, register(layout))
