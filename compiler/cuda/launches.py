"""How a scheduled kernel is launched: TVM makes a launch of each outermost loop that is bound to blocks or threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

_THREAD_EXTENT = "thread_extent"
_DYNAMIC = "shared.dyn"


@dataclass(frozen=True)
class Launch:
    """``blocks``: of the grid; ``dynamic_shared_bytes``: what each gets beyond what the kernel declares."""

    blocks: int
    dynamic_shared_bytes: int = 0


def launches_of_kernels(module: Any) -> dict[str, Launch]:
    """Of every GPU kernel that TVM will make of ``module``, an IRModule of scheduled PrimFuncs, by its name.

    A PrimFunc's launches are named after it, in their order: ``linear_kernel``, ``linear_kernel_1``.
    """
    from tvm import tirx

    return {
        f"{variable.name_hint}_kernel{f'_{number}' if number else ''}": launch
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
        for number, launch in enumerate(launches(function))
    }


def launches(function: Any) -> list[Launch]:
    """Each launch of the scheduled PrimFunc ``function``."""
    return list(_launches(function.body))


def _launches(statement: Any) -> Iterator[Launch]:
    if _bound(statement) is not None:
        extents: Counter[str] = Counter()
        dynamic = _collect(statement, extents)
        yield Launch(prod(extent for tag, extent in extents.items() if tag.startswith("blockIdx")), dynamic)
        return
    for child in _children(statement):
        yield from _launches(child)


def _collect(statement: Any, extents: Counter[str]) -> int:
    """Adds the threads and blocks that loops in ``statement`` are bound to, with the largest extent of each; returns
    the bytes of dynamic shared memory in it."""
    bound = _bound(statement)
    if bound is not None:
        tag, extent = bound
        extents[tag] = max(extents[tag], extent)
    return _dynamic_bytes(statement) + sum(_collect(child, extents) for child in _children(statement))


def _dynamic_bytes(statement: Any) -> int:
    from tvm import DataType, tirx

    if not isinstance(statement, tirx.AllocBuffer) or statement.buffer.scope() != _DYNAMIC:
        return 0
    return prod(map(int, statement.buffer.shape)) * DataType(statement.buffer.dtype).itemsize


def _bound(statement: Any) -> tuple[str, int] | None:
    """What ``statement`` binds, ``blockIdx.x`` for example, and its extent."""
    from tvm import tirx

    if isinstance(statement, tirx.For) and statement.thread_binding is not None:
        return str(statement.thread_binding.thread_tag), int(statement.extent)
    if isinstance(statement, tirx.AttrStmt) and statement.attr_key == _THREAD_EXTENT:
        return str(statement.node.thread_tag), int(statement.value)
    return None


def _children(statement: Any) -> Iterator[Any]:
    from tvm import tirx
    from tvm.s_tir import SBlockRealize

    if isinstance(statement, tirx.SeqStmt):
        yield from statement.seq
    elif isinstance(statement, tirx.IfThenElse):
        yield statement.then_case
        if statement.else_case is not None:
            yield statement.else_case
    elif isinstance(statement, SBlockRealize):
        yield statement.block.body
    elif hasattr(statement, "body"):
        yield statement.body
