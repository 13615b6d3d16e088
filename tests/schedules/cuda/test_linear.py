"""The linear strategies of NVIDIA GPUs: the generated CUDA source gives the oracle's bytes, without a race."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.linear import linear_kernel
from intbert.schedules.cuda.linear import TILES, WarpTileLinear
from intbert.schedules.cuda.warp_tile import DP4A, MMA_K16, MMA_K32
from intbert.schedules.layout import ROW_MAJOR, PackedLayout
from intbert.schedules.linear.workload import LinearWorkload
from intbert.schedules.space import all_sketches, scheduled
from intbert.targets import get_target

from ...cuda.kernels import CudaKernel, cuda_kernel
from ..linear_cases import EPILOGUES, PAIRS, VALUES, layer

STRATEGIES = {
    strategy.name: (strategy, get_target(chip))
    for strategy, chip in (
        (WarpTileLinear(MMA_K32, ("mma_k32", "cp_async")), "jetson-orin"),
        (WarpTileLinear(MMA_K16, ("ldmatrix",)), "cuda-sm75"),
        (WarpTileLinear(DP4A, ("dp4a",)), "jetson-tx2"),
    )
}
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


def workload(rows: int, channels: int, inputs: int) -> LinearWorkload:
    return LinearWorkload(rows, channels, inputs, ROW_MAJOR, False, 8)


@cache
def kernel(name: str, rows: int, channels: int, inputs: int, epilogue: str, tile: int | None = None) -> CudaKernel:
    """With the default tile, or the one of this index."""
    strategy, target = STRATEGIES[name]
    work = workload(rows, channels, inputs)
    function = linear_kernel(layer(channels, inputs, epilogue), rows, ROW_MAJOR, 0, 0)
    sketches = all_sketches(strategy, function, work)
    names = [sketch.name for sketch in strategy.sketches(work)]
    index = 0 if tile is None else names.index(f"{TILES[tile]} tile")
    return cuda_kernel(scheduled(strategy, sketches[index], work), target)


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
@pytest.mark.parametrize("rows", [1, 3, 16, 17, 32, 131])
def test_rows(name: str, rows: int) -> None:
    assert_oracle(kernel(name, rows, 96, 64, "narrow"), rows, 96, 64, "narrow")


@every_strategy
def test_extreme_values(name: str) -> None:
    assert_oracle(kernel(name, 16, 96, 192, "narrow"), 16, 96, 192, "narrow", len(PAIRS))


@every_strategy
@pytest.mark.parametrize("epilogue", [name for name in EPILOGUES if name != "narrow"])
def test_epilogues(name: str, epilogue: str) -> None:
    assert_oracle(kernel(name, 16, 96, 64, epilogue), 16, 96, 64, epilogue)


@every_strategy
@pytest.mark.parametrize("tile", range(len(TILES)), ids=[str(tile) for tile in TILES])
def test_tiles(name: str, tile: int) -> None:
    # Neither rows, channels nor inputs are a multiple of the tile's, and there are more stages than buffers.
    rows, channels, inputs = 70, 90, 272
    assert_oracle(kernel(name, rows, channels, inputs, "residual_add", tile), rows, channels, inputs, "residual_add")


@every_strategy
@pytest.mark.parametrize(("channels", "inputs"), [(384, 384), (1536, 384), (384, 1536), (1152, 384)])
def test_shapes_of_minilm(name: str, channels: int, inputs: int) -> None:
    assert_oracle(kernel(name, 128, channels, inputs, "narrow"), 128, channels, inputs, "narrow")


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
    assert strategy.refuse(workload(16, 96, 40), features) == "inputs 40 is not a multiple of 16"
    other = LinearWorkload(16, 96, 64, PackedLayout(16, 4), False, 8)
    assert strategy.refuse(other, features) == "the operands are laid out for another instruction"
