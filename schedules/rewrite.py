"""Rewrites of scheduled PrimFuncs that no schedule primitive expresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.s_tir import SBlock, SBlockRealize


def wrap_body_of_outer_loop(function: Any, wrap: Callable[[Any], Any]) -> Any:
    """``function`` with the body of its outermost (parallel) loop replaced by ``wrap(body)``.

    For what every thread must do once before and after its share of the work.
    """
    root = function.body.block
    loop = root.body
    assert isinstance(loop, tirx.For), "the schedule must leave one outermost loop"
    wrapped = tirx.For(
        loop.loop_var,
        loop.min,
        loop.extent,
        loop.kind,
        wrap(loop.body),
        loop.thread_binding,
        loop.annotations,
    )
    block = SBlock(
        root.iter_vars, root.reads, root.writes, root.name_hint, wrapped,
        root.init, root.alloc_buffers, root.match_buffers, root.annotations,
    )  # fmt: skip
    return function.with_body(SBlockRealize(function.body.iter_values, function.body.predicate, block))
