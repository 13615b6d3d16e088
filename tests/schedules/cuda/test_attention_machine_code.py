"""What the compiler makes of fused attention: both products of every tile, nothing spilled, no float."""

from __future__ import annotations

import pytest
from intbert.compiler.cuda.sass import TENSOR_CORES, Loop, innermost_loops
from intbert.compiler.operators.attention import attention_kernel
from intbert.schedules.space import all_sketches, scheduled

from ...cuda.kernels import kernels_source
from ...cuda.machine_code import integer_code
from .test_attention import BERT_BASE, STRATEGIES, tiles, workload

# Of a warp's 16 queries with 8 keys and 32 channels, or with 8 channels and 32 keys.
INSTRUCTIONS = {"mma_k32": 1, "mma_k16": 4, "wmma": 4}


def whole_kernels(name: str, *shape: int) -> dict[str, Loop]:
    """The instructions of each tile's kernel. Asserts that they are of integers, and that none is repeated."""
    strategy, target = STRATEGIES[name]
    assert target.cuda is not None
    work = workload(*shape)
    sketches = all_sketches(strategy, attention_kernel(*shape, output_zero_point=0), work)
    functions = {f"tile{number}": scheduled(strategy, sketch, work) for number, sketch in enumerate(sketches)}
    code = integer_code(kernels_source(functions, target), target.cuda)
    found = {tile: code[f"tile{number}_kernel"] for number, tile in enumerate(tiles(name, *shape))}
    for instructions in found.values():
        assert not any(loop.count(TENSOR_CORES) for loop in innermost_loops(instructions))
    return {tile: Loop(instructions) for tile, instructions in found.items()}


@pytest.mark.parametrize(
    ("name", "shape"),
    [("mma_k32", BERT_BASE), ("mma_k32", (8, 512, 12, 64)), ("mma_k16", BERT_BASE), ("wmma", BERT_BASE)],
    ids=["BERT-base", "512 tokens", "BERT-base on sm_75", "BERT-base on sm_72"],
)
def test_both_products_of_every_tile(name: str, shape: tuple[int, ...]) -> None:
    head_dim = shape[3]
    for tile, kernel in whole_kernels(name, *shape).items():
        keys = int(tile.removesuffix(" tile").partition("_")[2])
        scores, contexts = keys // 8 * (head_dim // 32), head_dim // 8 * (keys // 32)
        assert kernel.count(TENSOR_CORES) == (scores + contexts) * INSTRUCTIONS[name], tile
