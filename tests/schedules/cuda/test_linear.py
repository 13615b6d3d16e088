"""The linear strategies of NVIDIA GPUs: the generated CUDA source gives the oracle's bytes, without a race."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.linear import linear_kernel
from intbert.schedules.cuda.linear.warp_tile import WarpTile
from intbert.schedules.layout import ROW_MAJOR, PackedLayout
from intbert.schedules.linear.workload import LinearWorkload
from intbert.schedules.space import all_sketches, replay, trace_json

from ...cuda.kernels import CudaKernel, cuda_kernel
from ..linear_cases import EPILOGUES, PAIRS, VALUES, layer
from .linear_kernels import STRATEGIES, kernel, tiles, workload

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def assert_oracle(compiled: CudaKernel, rows: int, channels: int, inputs: int, epilogue: str, values: int = 1) -> None:
    """For as many pairs of activations and weights."""
    for activations, weights in PAIRS[:values]:
        random = np.random.default_rng(rows)
        linear = layer(channels, inputs, epilogue, weights)
        x = VALUES[activations](random, (rows, inputs)).astype(np.int8)
        residual = random.integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (rows, channels)).astype(np.int16)
        residuals = [residual] if linear.epilogue.takes_residual else []
        output = np.full((rows, channels), 77, linear.epilogue.output_dtype)
        compiled.run([x, *linear.parameters(ROW_MAJOR, 0), *residuals, output])
        expected = linear.oracle(x.astype(np.int64), residual.astype(np.int64) if residuals else None)
        np.testing.assert_array_equal(output, expected, f"{activations} x {weights}")


@every_strategy
@pytest.mark.parametrize("rows", [1, 17, 131])
def test_rows(name: str, rows: int) -> None:
    assert_oracle(kernel(name, rows, 96, 64, "narrow"), rows, 96, 64, "narrow")


@every_strategy
def test_extreme_values(name: str) -> None:
    assert_oracle(kernel(name, 16, 96, 192, "narrow"), 16, 96, 192, "narrow", len(PAIRS))


@pytest.mark.parametrize("epilogue", [name for name in EPILOGUES if name != "narrow"])
def test_epilogues(epilogue: str) -> None:
    """Of one strategy: all leave the sums in the same places."""
    assert_oracle(kernel("mma_k32", 16, 96, 64, epilogue), 16, 96, 64, epilogue)


def without_and_with_slices(name: str) -> Iterator[WarpTile]:
    """The smallest tile with as many slices as it has: what a strategy multiplies by is the same in all of them."""
    smallest = {tile.slices: tile for tile in tiles(name)}
    yield from smallest.values()


@pytest.mark.parametrize(
    ("name", "tile"),
    [
        *(("mma_k32", str(tile)) for tile in tiles("mma_k32")),
        *((name, str(tile)) for name in STRATEGIES if name != "mma_k32" for tile in without_and_with_slices(name)),
    ],
)
def test_tiles(name: str, tile: str) -> None:
    # Neither rows, channels nor inputs are a multiple of the tile's, and there are more stages than buffers.
    rows, channels, inputs = 70, 90, 528
    assert_oracle(kernel(name, rows, channels, inputs, "residual_add", tile), rows, channels, inputs, "residual_add")


@pytest.mark.parametrize("together", [1, 2, 3, 6])
def test_block_orders(together: int) -> None:
    """Blocks in the order of all rows, of all columns, and of groups of rows between the two."""
    rows, channels, inputs = 6 * 16, 64, 32
    strategy, target = STRATEGIES["mma_k32"]
    work = workload(rows, channels, inputs, target.cuda)
    function = linear_kernel(layer(channels, inputs, "narrow"), rows, ROW_MAJOR, 0, 0)
    sketches = [sketch.name for sketch in strategy.sketches(work)]
    default = all_sketches(strategy, function, work)[sketches.index("16x32_1x1x4_3 tile")]
    instructions, ((index, _),) = json.loads(trace_json(default))
    trace = json.dumps([instructions, [[index, [6 // together, together]]]])
    compiled = cuda_kernel(replay(strategy, function, work, trace), target)
    assert compiled.launch.grid == (together, 2, 6 // together)
    assert_oracle(compiled, rows, channels, inputs, "narrow")


@pytest.mark.parametrize(("tile", "dynamic"), [("128x128_2x2_3", 0), ("128x128_2x2_4", 4 * 256 * 64)])
def test_shared_memory_beyond_what_is_declared_is_asked_for(tile: str, dynamic: int) -> None:
    assert kernel("mma_k32", 70, 90, 528, "residual_add", tile).launch.dynamic_shared == dynamic


@every_strategy
@pytest.mark.parametrize("inputs", [16, 36, 128, 192, 256, 312, 400])
def test_inputs(name: str, inputs: int) -> None:
    """Fewer stages than buffers, as many, and more; the last one whole or not; lines aligned to 4, 8 and 16 bytes."""
    assert_oracle(kernel(name, 16, 32, inputs, "narrow"), 16, 32, inputs, "narrow")


@pytest.mark.parametrize(
    ("name", "channels", "inputs"),
    [
        *(("mma_k32", *shape) for shape in ((384, 384), (1536, 384), (384, 1536), (1152, 384))),
        *((name, 1152, 384) for name in STRATEGIES if name != "mma_k32"),
    ],
)
def test_shapes_of_minilm(name: str, channels: int, inputs: int) -> None:
    assert_oracle(kernel(name, 128, channels, inputs), 128, channels, inputs, "narrow")


@pytest.mark.parametrize("rows", [384, 1024])
def test_whole_batches_of_minilm(rows: int) -> None:
    assert_oracle(kernel("mma_k32", rows, 384, 384), rows, 384, 384, "narrow")


@pytest.mark.parametrize(("channels", "inputs"), [(768, 768), (3072, 768), (768, 3072), (2304, 768)])
def test_shapes_of_bert_base(channels: int, inputs: int) -> None:
    assert_oracle(kernel("mma_k32", 32, channels, inputs, "narrow"), 32, channels, inputs, "narrow")


@every_strategy
def test_refusals(name: str) -> None:
    strategy, target = STRATEGIES[name]
    assert target.cuda is not None
    features = target.cuda.features
    assert strategy.refuse(workload(16, 96, 64), features) is None
    assert strategy.refuse(workload(16, 96, 64), frozenset()) == f"the GPU has no {strategy.features[0]}"
    assert strategy.refuse(workload(16, 96, 42), features) == "inputs 42 is not a multiple of 4"
    other = LinearWorkload(16, 96, 64, PackedLayout(16, 4), False, 8)
    assert strategy.refuse(other, features) == "the operands are laid out for another instruction"
