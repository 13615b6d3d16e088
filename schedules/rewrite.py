"""Rewrites of scheduled PrimFuncs that no schedule primitive expresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize


def wrap_body_of_outer_loop(function: Any, wrap: Callable[[Any], Any]) -> Any:
    """``function`` with the body of its last outermost (parallel) loop replaced by ``wrap(body)``.

    For what every thread must do once before and after its share of the work.
    """
    root = function.body.block
    *before, loop = root.body.seq if isinstance(root.body, tirx.SeqStmt) else [root.body]
    assert isinstance(loop, tirx.For), "the schedule must leave an outermost loop"
    wrapped = tirx.For(
        loop.loop_var,
        loop.min,
        loop.extent,
        loop.kind,
        wrap(loop.body),
        loop.thread_binding,
        loop.annotations,
    )
    body = tirx.SeqStmt([*before, wrapped]) if before else wrapped
    block = SBlock(
        root.iter_vars, root.reads, root.writes, root.name_hint, body,
        root.init, root.alloc_buffers, root.match_buffers, root.annotations,
    )  # fmt: skip
    return function.with_body(SBlockRealize(function.body.iter_values, function.body.predicate, block))
