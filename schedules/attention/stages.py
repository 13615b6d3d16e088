"""What the schedules of attention share: operands packed for dot products, the softmax in lanes."""

from __future__ import annotations

from typing import Any

from tvm.s_tir import Schedule

from ..choices import choose_vectors
from ..intrinsics.packing import PackingCopies
from ..intrinsics.pairwise_sum import register_pairwise_sum
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


def place_mask(sch: Schedule, workload: AttentionWorkload, head: Any) -> None:
    """What the mask makes of scores and exponentials, once a head, in lanes."""
    for name in ("limit", "keep"):
        block = sch.get_sblock(name)
        sch.compute_at(block, head, preserve_unit_loops=True)
        _, lane = sch.split(sch.get_loops(block)[-1], [None, vector_width(workload.length, workload.lanes)])
        sch.vectorize(lane)


def split_row_reductions(sch: Schedule, workload: AttentionWorkload) -> None:
    """Each row's maximum and sum as partial ones in int32 lanes, and the maximum and sum of those."""
    key = sch.get_loops(sch.get_sblock("largest"))[-1]
    _, lane = choose_vectors(sch, key, vector_width(workload.length, workload.lanes // 2))
    sch.rfactor(lane, factor_axis=3)
    key = sch.get_loops(sch.get_sblock("total"))[-1]
    _, lane, _ = sch.split(key, [None, _sum_lanes(workload), PAIR])
    sch.rfactor(lane, factor_axis=3)


PAIR = 2
"""Neighbours that a lane of the sum adds at a time."""


def _sum_lanes(workload: AttentionWorkload) -> int:
    """int32 lanes of a row's partial sums."""
    return vector_width(workload.length, workload.lanes) // PAIR


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
    lane, batch, head, query, step = sch.get_loops(sch.get_sblock("largest_rf"))[-5:]
    sch.reorder(batch, head, query, step, lane)
    sch.vectorize(lane)
    total = sch.get_sblock("total_rf")
    total_lane, batch, head, query, total_step, pair = sch.get_loops(total)[-6:]
    sch.reorder(batch, head, query, total_step, total_lane, pair)
    for name in ("total", "largest"):
        lane, batch, head, query = sch.get_loops(sch.get_sblock(name))[-4:]
        sch.reorder(batch, head, query, lane)
    sch.decompose_reduction(sch.get_sblock("largest_rf"), step)
    zero = sch.decompose_reduction(total, total_step)
    sch.vectorize(sch.get_loops(zero)[-1])
    sch.tensorize(total_lane, register_pairwise_sum(_sum_lanes(workload)))


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
