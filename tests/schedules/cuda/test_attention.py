"""Fused attention of NVIDIA GPUs: the generated CUDA source gives the oracle's bytes, without a race."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from intbert.compiler.cuda.cubin import kernels_of
from intbert.compiler.cuda.occupancy import resident_blocks
from intbert.compiler.operators.attention import Attention, attention_kernel
from intbert.compiler.operators.attention_scores import AttentionScores
from intbert.compiler.operators.attention_values import AttentionValues
from intbert.compiler.operators.masked_softmax import MaskedSoftmax
from intbert.compiler.operators.requantize import Requantize
from intbert.compiler.operators.value_range import NARROW, Range
from intbert.schedules.attention import AttentionWorkload
from intbert.schedules.cuda.attention import DP4A, MMA_K16, MMA_K32, WMMA, TileAttention
from intbert.schedules.cuda.attention.fragments import exchange
from intbert.schedules.cuda.attention.pieces import Staging
from intbert.schedules.cuda.attention.tile import AttentionTile, by_preference
from intbert.schedules.space import all_sketches, replay, scheduled, trace_json
from intbert.targets import get_target
from intbert.targets.cuda_compilers import compiler_for
from numpy.typing import NDArray

from ...cuda.kernels import CudaKernel, cuda_kernel
from ..linear_cases import VALUES

STRATEGIES = {
    strategy.name: (strategy, get_target(chip))
    for strategy, chip in (
        (TileAttention(MMA_K32, ("mma_k32", "cp_async")), "jetson-orin"),
        (TileAttention(MMA_K16, ("ldmatrix",)), "cuda-sm75"),
        (TileAttention(WMMA, ("imma",)), "jetson-xavier"),
        (TileAttention(DP4A, ("dp4a",)), "jetson-tx2"),
    )
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)
SHORTEST, MINILM, BERT_BASE = (2, 6, 2, 32), (1, 128, 12, 32), (1, 128, 12, 64)
"""Sentences, tokens, heads, channels of a head."""
MASKS: dict[str, Callable[[np.random.Generator, int, int], NDArray[np.bool_]]] = {
    "no key": lambda _, batch, length: np.zeros((batch, length), bool),
    # The first one of the first sentence, the last one of the last.
    "one key": lambda _, batch, length: np.linspace(0, length - 1, batch)[:, None] == np.arange(length),
    "most keys": lambda random, batch, length: random.random((batch, length)) < 0.7,
    "all keys": lambda _, batch, length: np.ones((batch, length), bool),
}
SOFT = 1e-5
"""The scale of scores at which probabilities of random values are far from 0 and from 1."""


def workload(batch: int, length: int, heads: int, head_dim: int) -> AttentionWorkload:
    return AttentionWorkload(batch, length, heads, head_dim, False, 8)


def attention(heads: int, head_dim: int, scale: float = SOFT, output: Range = NARROW) -> Attention:
    return Attention(
        "layer",
        heads,
        AttentionScores("layer.scores", head_dim),
        MaskedSoftmax.from_scale("layer.softmax", scale),
        AttentionValues("layer.values", Requantize.from_ratio("layer.values", np.array([0.0039]), output)),
    )


@cache
def kernel(name: str, *shape: int, tile: str | None = None, output: Range = NARROW) -> CudaKernel:
    """With the default tile, or the one of this name."""
    strategy, target = STRATEGIES[name]
    work = workload(*shape)
    function = attention_kernel(*shape, output_zero_point=0, output=output)
    index = 0 if tile is None else tiles(name, *shape).index(tile)
    return cuda_kernel(scheduled(strategy, all_sketches(strategy, function, work)[index], work), target)


def default_tile(name: str, batch: int, length: int, heads: int, head_dim: int) -> AttentionTile:
    strategy, _ = STRATEGIES[name]
    return by_preference(batch, length, heads, head_dim, strategy.products.staged_bytes)[0]


def tiles(name: str, *shape: int) -> list[str]:
    strategy, _ = STRATEGIES[name]
    return [sketch.name for sketch in strategy.sketches(workload(*shape))]


def assert_oracle(
    compiled: CudaKernel,
    *shape: int,
    values: str = "random",
    kept: str = "most keys",
    scale: float = SOFT,
    output: Range = NARROW,
) -> None:
    """``kept``: what the mask keeps, of :data:`MASKS`."""
    batch, length, heads, head_dim = shape
    random = np.random.default_rng(length)
    operator = attention(heads, head_dim, scale, output)
    qkv = VALUES[values](random, (batch * length, 3 * heads * head_dim)).astype(np.int8)
    mask = MASKS[kept](random, batch, length).astype(np.int32)
    context = np.full((batch * length, heads * head_dim), 77, np.int8)
    compiled.run([qkv, mask, *operator.parameters(), context])
    np.testing.assert_array_equal(context, operator.oracle(qkv.astype(np.int64), mask.astype(np.int64)))


@every_strategy
@pytest.mark.parametrize("length", [1, 6, 17, 32, 128])
def test_lengths(name: str, length: int) -> None:
    shape = (2, length, 2, 32)
    assert_oracle(kernel(name, *shape), *shape)


@every_strategy
@pytest.mark.parametrize("head_dim", [64, 96])
def test_head_dimensions(name: str, head_dim: int) -> None:
    shape = (1, 33, 2, head_dim)
    assert_oracle(kernel(name, *shape), *shape)


@pytest.mark.parametrize(
    ("name", "length"), [("mma_k32", 384), ("mma_k32", 500), ("mma_k32", 512), ("wmma", 512), ("dp4a", 512)]
)
def test_long_sentences(name: str, length: int) -> None:
    shape = (1, length, 1, 64)
    assert_oracle(kernel(name, *shape), *shape)


@pytest.mark.parametrize("tile", tiles("mma_k32", 1, 70, 2, 64))
def test_tiles(tile: str) -> None:
    # The length is a multiple of neither the tile's queries nor a warp's keys.
    shape = (1, 70, 2, 64)
    assert_oracle(kernel("mma_k32", *shape, tile=tile), *shape)


@every_strategy
@pytest.mark.parametrize(("tile", "shape"), [("2x2_64", (1, 70, 2, 64)), ("1x4_32", (1, 100, 1, 32))])
def test_warps_that_share_the_keys_of_a_row(name: str, tile: str, shape: tuple[int, ...]) -> None:
    assert_oracle(kernel(name, *shape, tile=f"{tile} tile"), *shape)


@every_strategy
@pytest.mark.parametrize("values", VALUES)
def test_extreme_values(name: str, values: str) -> None:
    for scale in (1e-7, SOFT, 1e-2):
        assert_oracle(kernel(name, *SHORTEST), *SHORTEST, values=values, scale=scale)


@every_strategy
@pytest.mark.parametrize("kept", MASKS)
def test_masks(name: str, kept: str) -> None:
    shape = (2, 128, 2, 32)
    assert_oracle(kernel(name, *shape), *shape, kept=kept)


def test_a_context_with_a_zero_point() -> None:
    output = Range(-128, 127, 5)
    assert_oracle(kernel("mma_k32", *SHORTEST, output=output), *SHORTEST, output=output)


@every_strategy
@pytest.mark.parametrize("shape", [MINILM, BERT_BASE], ids=["MiniLM", "BERT-base"])
def test_shapes_of_models(name: str, shape: tuple[int, ...]) -> None:
    assert_oracle(kernel(name, *shape), *shape, kept="all keys")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mma_k32", MINILM),
        ("mma_k32", BERT_BASE),
        ("mma_k32", (8, 512, 12, 64)),
        ("mma_k16", BERT_BASE),
        ("wmma", MINILM),
        ("wmma", BERT_BASE),
    ],
    ids=["MiniLM", "BERT-base", "512 tokens", "BERT-base on sm_75", "MiniLM on sm_72", "BERT-base on sm_72"],
)
def test_machine_code(name: str, shape: tuple[int, ...]) -> None:
    ptx = ptx_of_what_fits(name, *shape)
    # Each product is there once: the compiler has unrolled all loops, and 16 queries meet 32 keys or channels at once.
    tile = default_tile(name, *shape)
    products = tile.keys // 8 * shape[3] // 32 + tile.keys // 32 * shape[3] // 8
    assert ptx.count("mma.sync") == products * {"mma_k32": 1, "mma_k16": 4, "wmma": 1}[name]


@pytest.mark.parametrize("shape", [MINILM, BERT_BASE], ids=["MiniLM", "BERT-base"])
def test_machine_code_of_dot_products(shape: tuple[int, ...]) -> None:
    # A piece of the channels, and of the keys, is unrolled.
    tile = default_tile("dp4a", *shape)
    assert len(re.findall(r"\bdp4a\.", ptx_of_what_fits("dp4a", *shape))) == tile.keys * 2 + shape[3] * 2


def ptx_of_what_fits(name: str, *shape: int) -> str:
    """Of a kernel that does not spill registers, and of which a multiprocessor holds more than one block."""
    gpu = STRATEGIES[name][1].cuda
    assert gpu is not None
    compiled = compiler_for(gpu).compile(kernel(name, *shape).source, gpu)
    (resources,) = kernels_of(compiled.cubin)
    assert resources.local_bytes == 0
    assert resident_blocks(resources, gpu.architecture) * resources.threads >= 384, (
        "too few to hide what each waits for"
    )
    return compiled.ptx


@pytest.mark.parametrize("head_dim", [32, 64, 96, 128, 160, 192])
def test_the_rows_that_are_read_at_once_lie_in_different_banks(head_dim: int) -> None:
    rows, pieces = exchange(head_dim)
    for piece in range(head_dim // 16):
        places = [row * head_dim + (piece ^ (row // rows % pieces)) * 16 for row in range(8)]
        assert {place // head_dim for place in places} == set(range(8)), "a piece has left its row"
        assert len({place % 128 for place in places}) == 8


@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_what_is_written_at_once_lies_in_different_banks(head_dim: int) -> None:
    """Of keys eight pieces, line by line; of values eight pieces of four keys each, in words."""
    staging = Staging(AttentionTile(1, 1, 32), head_dim)
    keys = [(copy % staging.pieces * staging.key_lines + copy // staging.pieces) % 8 for copy in range(8)]
    assert len(set(keys)) == 8
    assert len({piece * staging.value_lines % 8 for piece in range(8)}) == 8


def test_fewer_queries_a_block_and_fewer_keys_a_warp_where_there_are_few_sentences() -> None:
    assert tiles("mma_k32", 8, *MINILM[1:])[0] == "4x1_128 tile"
    assert tiles("mma_k32", *MINILM)[0] == "2x2_64 tile"
    assert tiles("mma_k32", *SHORTEST) == ["1x1_32 tile"]


@every_strategy
def test_the_trace_of_a_tile_leads_back_to_its_kernel(name: str) -> None:
    strategy, target = STRATEGIES[name]
    shape = (1, 70, 2, 64)
    work, function = workload(*shape), attention_kernel(*shape, output_zero_point=0)
    trace = trace_json(all_sketches(strategy, function, work)[1])
    replayed = cuda_kernel(replay(strategy, function, work, trace), target)
    assert replayed.source == kernel(name, *shape, tile=tiles(name, *shape)[1]).source != kernel(name, *shape).source


@every_strategy
def test_refusals(name: str) -> None:
    strategy, target = STRATEGIES[name]
    assert target.cuda is not None
    features = target.cuda.features
    assert strategy.refuse(workload(*MINILM), features) is None
    assert strategy.refuse(workload(*MINILM), frozenset()) == f"the GPU has no {strategy.features[0]}"
    assert strategy.refuse(workload(1, 128, 2, 40), features) == "head dimension 40 is not a multiple of 32"
    for length, head_dim in ((1024, 64), (512, 96), (1, 256)):
        reason = f"{length} keys of {head_dim} channels fit no block's registers and shared memory"
        assert strategy.refuse(workload(1, length, 2, head_dim), features) == reason
