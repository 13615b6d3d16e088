"""LayerNorm by warps: the generated CUDA source gives the oracle's bytes, by shuffles and without shared memory."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import tvm
from intbert.compiler.cuda.cubin import kernels_of
from intbert.compiler.cuda.occupancy import resident_blocks
from intbert.compiler.kernels import Alternative
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.layer_norm import MAX_NORMALIZED, LayerNorm, layer_norm_kernel, variance_shift
from intbert.compiler.operators.requantize import Narrow
from intbert.compiler.operators.value_range import NARROW, Range
from intbert.schedules.cuda.layer_norm import MOST_CHANNELS_OF_A_LANE, WarpLayerNorm, vector_of
from intbert.schedules.rows import RowWorkload
from intbert.schedules.space import trace_json
from intbert.targets import get_target
from intbert.targets.cuda import WARP
from intbert.targets.cuda_compilers import compiler_for
from numpy.typing import NDArray

from ...cuda.kernels import CudaKernel, cuda_kernel
from ..points import drawn, sketches_of

ORIN = get_target("jetson-orin")
STRATEGY = WarpLayerNorm()
MODELS = {"MiniLM": (128, 384), "BERT-base": (128, 768), "BERT-large": (128, 1024)}
"""Rows, channels."""
HALF_WARP = 1
"""The index of the sketch in which a warp has two rows."""


@cache
def alternative(rows: int, channels: int, output: Range = NARROW) -> Alternative:
    function = layer_norm_kernel(rows, channels, 0, output)
    return Alternative(STRATEGY, function, RowWorkload(rows, channels, 8), 1, "layer norm", ())


@cache
def kernel(rows: int, channels: int, sketch: int = 0, output: Range = NARROW) -> CudaKernel:
    found = alternative(rows, channels, output)
    return cuda_kernel(found.finish(sketches_of(found)[sketch]), ORIN)


def norm_of(channels: int, output: Range = NARROW) -> LayerNorm:
    random = np.random.default_rng(channels)
    gamma, beta = random.normal(1, 0.5, channels), random.normal(0, 1, channels)
    return LayerNorm.from_float("norm", gamma, beta, 5e-4, 0.02, output)


def rows_of(rows: int, channels: int) -> NDArray[np.int16]:
    """Random rows; the first ones are extremes, as far as there are so many."""
    random = np.random.default_rng(rows)
    x = random.integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (rows, channels))
    return np.concatenate([extreme_rows(channels), x])[-rows:].astype(np.int16)


def extreme_rows(channels: int) -> NDArray[np.int64]:
    """Constants, one outlier, both signs, and squares that all round away."""
    x = np.zeros((7, channels), np.int64)
    x[1], x[2] = WIDE_LIMIT, -WIDE_LIMIT
    x[3, -1] = WIDE_LIMIT
    x[4, 0] = -WIDE_LIMIT
    x[5] = np.where(np.arange(channels) % 2, WIDE_LIMIT, -WIDE_LIMIT)
    x[6] = math.isqrt((1 << variance_shift(channels) >> 1) - 1) * np.where(np.arange(channels) < channels // 2, -1, 1)
    return x


def assert_oracle(compiled: CudaKernel, norm: LayerNorm, x: NDArray[np.int16]) -> None:
    wide, narrow = np.full(x.shape, 77, np.int16), np.full(x.shape, 77, np.int8)
    compiled.run([x, *norm.parameters(), wide, narrow])
    for output, expected in zip((wide, narrow), norm.oracle(x.astype(np.int64)), strict=True):
        np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("channels", [1, 32, 33, 90, 312, 384, 768, 1024, 3072])
def test_channels(channels: int) -> None:
    assert_oracle(kernel(3, channels), norm_of(channels), rows_of(3, channels))


@pytest.mark.parametrize("rows", [1, 7, 128])
@pytest.mark.parametrize("channels", [384, 768])
def test_rows(rows: int, channels: int) -> None:
    assert_oracle(kernel(rows, channels), norm_of(channels), rows_of(rows, channels))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("channels", [90, 384])
def test_extremes(channels: int, sign: int) -> None:
    """The largest gamma and beta that can be proven, on rows that normalize to the largest values."""
    beta = 2**31 - 1 - MAX_NORMALIZED * (2**15 - 1)
    norm = LayerNorm(
        "norm",
        np.full(channels, sign * (2**15 - 1), np.int32),
        np.full(channels, sign * beta, np.int32),
        16,
        Narrow.from_ratio("norm", 0.0078),
    )
    norm.bounds()
    assert_oracle(kernel(7, channels), norm, (sign * extreme_rows(channels)).astype(np.int16))


@pytest.mark.parametrize("channels", [90, 384])
def test_two_rows_a_warp(channels: int) -> None:
    assert_oracle(kernel(8, channels, HALF_WARP), norm_of(channels), rows_of(8, channels))


def test_a_zero_point() -> None:
    output = Range(-128, 127, 100)
    norm = norm_of(64, output)
    assert_oracle(kernel(7, 64, 0, output), norm, rows_of(7, 64))


@pytest.mark.parametrize("seed", range(3))
def test_any_decision(seed: int) -> None:
    found = alternative(24, 96)
    for sketch in sketches_of(found):
        compiled = cuda_kernel(found.finish(drawn(found, sketch, seed)), ORIN)
        assert_oracle(compiled, norm_of(96), rows_of(24, 96))


def test_traces_are_replayed() -> None:
    found = alternative(24, 96)
    for sketch in sketches_of(found):
        tvm.ir.assert_structural_equal(found.replay(trace_json(sketch)), found.finish(sketch))


@pytest.mark.parametrize("sketch", [0, HALF_WARP], ids=["warp", "half"])
@pytest.mark.parametrize(("rows", "channels"), MODELS.values(), ids=list(MODELS))
def test_nothing_leaves_the_registers(rows: int, channels: int, sketch: int) -> None:
    compiled = kernel(rows, channels, sketch)
    body = compiled.source.rpartition("main_kernel(")[2]
    assert body.count("__shfl_down_sync(") == 2 * (4 if sketch else 5)
    for absent in ("__shared__", "__syncthreads", "__activemask", "wide_ptr["):
        assert absent not in body
    gpu = ORIN.cuda
    assert gpu is not None
    (found,) = kernels_of(compiler_for(gpu).compile(compiled.source, gpu).cubin)
    assert (found.local_bytes, found.shared_bytes) == (0, 0)
    assert resident_blocks(found, gpu.architecture) * found.threads // WARP >= 16, "too many registers"


@pytest.mark.parametrize(
    ("channels", "lanes", "vector"), [(768, 32, 8), (384, 32, 4), (384, 16, 8), (312, 32, 8), (90, 32, 2), (33, 32, 1)]
)
def test_vectors_leave_no_lane_idle_where_they_can(channels: int, lanes: int, vector: int) -> None:
    assert vector_of(channels, lanes) == vector


def test_refusals() -> None:
    most = MOST_CHANNELS_OF_A_LANE * WARP
    assert STRATEGY.refuse(RowWorkload(3, most, 8), frozenset()) is None
    assert STRATEGY.refuse(RowWorkload(3, most + 1, 8), frozenset()) == "the registers of a warp hold 4096 channels"
