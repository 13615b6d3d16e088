"""How many blocks TVM will launch, told from schedules."""

from __future__ import annotations

import pytest
import tvm
from intbert.compiler.cuda.launches import Launch, launches, launches_of_kernels
from intbert.schedules.rewrite import with_body_of_block, with_body_of_loop
from tvm import te, tirx
from tvm.s_tir import SBlockRealize, Schedule


def two_stages() -> Schedule:
    """[5, 6] doubled, then one added."""
    x = te.placeholder((5, 6), "int32", name="x")
    doubled = te.compute((5, 6), lambda i, j: x[i, j] * 2, name="doubled")
    added = te.compute((5, 6), lambda i, j: doubled[i, j] + 1, name="added")
    return Schedule(te.create_prim_func([x, added]))


def bind(sch: Schedule, name: str, tags: tuple[str, str]) -> None:
    for loop, tag in zip(sch.get_loops(sch.get_sblock(name)), tags, strict=True):
        sch.bind(loop, tag)


@pytest.mark.parametrize(
    ("tags", "blocks"),
    [
        (("blockIdx.x", "threadIdx.x"), 5),
        (("threadIdx.x", "blockIdx.y"), 6),
        (("blockIdx.y", "blockIdx.x"), 30),
        (("threadIdx.x", "threadIdx.y"), 1),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_one_launch(tags: tuple[str, str], blocks: int):
    sch = two_stages()
    sch.compute_inline(sch.get_sblock("doubled"))
    bind(sch, "added", tags)
    assert launches(sch.mod["main"]) == [Launch(blocks)]


def test_each_outermost_bound_loop_is_a_launch():
    sch = two_stages()
    bind(sch, "doubled", ("blockIdx.x", "threadIdx.x"))
    bind(sch, "added", ("threadIdx.x", "blockIdx.x"))
    assert launches_of_kernels(tvm.IRModule({"twice": sch.mod["main"]})) == {
        "twice_kernel": Launch(5),
        "twice_kernel_1": Launch(6),
    }


def test_shared_memory_that_a_launch_asks_for():
    staged = tirx.decl_buffer((5, 1024), "int16", scope="shared.dyn")
    declared = tirx.decl_buffer((64,), "int32", scope="shared")
    sch = two_stages()
    sch.compute_inline(sch.get_sblock("doubled"))
    bind(sch, "added", ("blockIdx.x", "threadIdx.x"))
    function = sch.mod["main"]
    block = function.body.block
    loop = block.body
    inside = tirx.SeqStmt([tirx.AllocBuffer(staged), tirx.AllocBuffer(declared), loop.body])
    body = with_body_of_block(block, with_body_of_loop(loop, inside))
    function = function.with_body(SBlockRealize(function.body.iter_values, function.body.predicate, body))
    assert launches(function) == [Launch(5, 5 * 1024 * 2)]


def test_a_cpus_loops_are_no_launches():
    sch = two_stages()
    sch.parallel(sch.get_loops(sch.get_sblock("added"))[0])
    assert launches(sch.mod["main"]) == []
