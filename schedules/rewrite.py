"""Rewrites of scheduled PrimFuncs that no schedule primitive expresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize, Schedule

CLEARS = "intbert.clears"
"""Annotates a block that clears what an intrinsic sets as a whole afterwards."""


def split_off_clearing(sch: Schedule, reduction: Any, loop: Any) -> None:
    """Takes the initialization out of the block ``reduction``, which is computed in ``loop`` by an intrinsic that sets
    its output; :func:`drop_clearing` must follow."""
    sch.annotate(sch.decompose_reduction(reduction, loop), CLEARS, True)


def drop_clearing(function: Any) -> Any:
    """``function`` without the blocks of :func:`split_off_clearing`."""
    return function.with_body(_without_clearing(function.body))


def _without_clearing(statement: Any) -> Any:
    """``statement``, or None where nothing is left of it."""
    if isinstance(statement, tirx.SeqStmt):
        left = [each for each in map(_without_clearing, statement.seq) if each is not None]
        return tirx.SeqStmt(left) if len(left) > 1 else (left or [None])[0]
    if isinstance(statement, tirx.For):
        body = _without_clearing(statement.body)
        return None if body is None else with_body_of_loop(statement, body)
    if isinstance(statement, SBlockRealize):
        block = statement.block
        if CLEARS in block.annotations:
            return None
        body = _without_clearing(block.body)
        return SBlockRealize(statement.iter_values, statement.predicate, with_body_of_block(block, body))
    return statement


def with_body_of_loop(loop: Any, body: Any) -> Any:
    """``loop`` over another body."""
    return tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, body, loop.thread_binding, loop.annotations)


def with_body_of_block(block: Any, body: Any) -> Any:
    """``block`` with another body."""
    return SBlock(
        block.iter_vars, block.reads, block.writes, block.name_hint, body,
        block.init, block.alloc_buffers, block.match_buffers, block.annotations,
    )  # fmt: skip


def wrap_body_of_outer_loop(function: Any, wrap: Callable[[Any], Any]) -> Any:
    """``function`` with the body of its last outermost (parallel) loop replaced by ``wrap(body)``.

    For what every thread must do once before and after its share of the work.
    """
    root = function.body.block
    *before, loop = root.body.seq if isinstance(root.body, tirx.SeqStmt) else [root.body]
    assert isinstance(loop, tirx.For), "the schedule must leave an outermost loop"
    wrapped = with_body_of_loop(loop, wrap(loop.body))
    body = tirx.SeqStmt([*before, wrapped]) if before else wrapped
    block = with_body_of_block(root, body)
    return function.with_body(SBlockRealize(function.body.iter_values, function.body.predicate, block))
