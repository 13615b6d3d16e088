"""Row-wise operators on GPUs: the generated CUDA source gives the oracle's bytes."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import tvm
from intbert.compiler.cuda.cubin import KernelResources, kernels_of
from intbert.compiler.operators.duplicate_channels import DuplicateChannels, duplicate_channels_kernel
from intbert.compiler.operators.embedding import Embedding, embedding_kernel
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.pooling import FirstToken, MeanPooling, first_token_kernel, mean_pooling_kernel
from intbert.compiler.operators.tanh import Tanh, tanh_kernel
from intbert.compiler.operators.value_range import Range
from intbert.compiler.packing import Packing
from intbert.schedules.cuda.rows import VectorRows, WarpMeanPooling
from intbert.schedules.rows import RowWorkload
from intbert.schedules.space import all_sketches, replay, scheduled, trace_json
from intbert.schedules.strategy import Strategy
from intbert.targets import get_target
from intbert.targets.cuda_compilers import compiler_for
from numpy.typing import NDArray

from ...cuda.kernels import CudaKernel, cuda_kernel

ORIN = get_target("jetson-orin")
VOCABULARY, POSITIONS = 40, 130


def kernel(strategy: Strategy[RowWorkload], function: Any, rows: int, channels: int, sketch: int = 0) -> CudaKernel:
    work = RowWorkload(rows, channels, 8)
    assert ORIN.cuda is not None
    assert strategy.refuse(work, ORIN.cuda.features) is None
    return cuda_kernel(scheduled(strategy, all_sketches(strategy, function, work)[sketch], work), ORIN)


def widest_access(source: str) -> set[str]:
    """The vector types that the kernel loads or stores."""
    return set(re.findall(r"\*\((\w+?[248])\*\)", source))


def resources(compiled: CudaKernel) -> KernelResources:
    assert ORIN.cuda is not None
    (found,) = kernels_of(compiler_for(ORIN.cuda).compile(compiled.source, ORIN.cuda).cubin)
    return found


# Embedding


def table(rows: int, hidden: int, seed: int, limit: int = 127) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-limit, limit + 1, (rows, hidden)).astype(np.int8)


def embedding(hidden: int, packings: tuple[Packing | None, ...] = (None, None, None), typed: bool = True) -> Embedding:
    limits = [127 if packing is None else 2 ** (packing.bits - 1) - 1 for packing in packings]
    rows = (VOCABULARY, POSITIONS, 2)
    word, position, types = (table(rows[index], hidden, index, limits[index]) for index in range(3))
    scales = np.random.default_rng(3).uniform(1e-3, 2e-2, VOCABULARY)
    return Embedding.from_scales(
        "embedding", (word, scales), (position, 0.01), (types, 0.02) if typed else None, 1e-4, packings
    )


PACKED = (Packing(4), Packing(2), None)


@pytest.mark.parametrize(
    ("batch", "length", "hidden", "packings", "typed"),
    [
        pytest.param(1, 128, 384, (None,) * 3, True, id="MiniLM"),
        pytest.param(1, 3, 768, (None,) * 3, True, id="BERT-base"),
        pytest.param(3, 1, 90, (None,) * 3, False, id="pairs, no token types"),
        pytest.param(2, 5, 33, (None,) * 3, True, id="odd"),
        pytest.param(2, 5, 64, PACKED, True, id="packed"),
    ],
)
def test_embedding(batch: int, length: int, hidden: int, packings: Any, typed: bool) -> None:
    operator = embedding(hidden, packings, typed)
    random = np.random.default_rng(0)
    ids = random.integers(0, VOCABULARY, (batch, length)).astype(np.int32)
    ids[0, 0], ids[-1, -1] = 0, VOCABULARY - 1
    inputs = [ids, *([random.integers(0, 2, ids.shape).astype(np.int32)] if typed else [])]
    wide = np.full((batch * length, hidden), 77, np.int16)
    rows = batch * length
    function = embedding_kernel(operator, batch, length)
    compiled = kernel(VectorRows("wide", 4), function, rows, operator.contiguous_channels)
    compiled.run([*inputs, *operator.parameters(), wide])
    np.testing.assert_array_equal(wide, operator.oracle(*(each.astype(np.int64) for each in inputs)))


# Mean pooling


@cache
def pooling_kernel(batch: int, length: int, hidden: int, sketch: int = 0) -> CudaKernel:
    return kernel(WarpMeanPooling(), mean_pooling_kernel(batch, length, hidden), batch, hidden, sketch)


def assert_pooled(compiled: CudaKernel, states: NDArray[np.int16], mask: NDArray[np.int32]) -> None:
    pooled = np.full((len(mask), states.shape[1]), 77, np.int16)
    compiled.run([states, mask, pooled])
    expected = MeanPooling("pooling").oracle(states.astype(np.int64), mask.astype(np.int64))
    np.testing.assert_array_equal(pooled, expected)


def states_of(batch: int, length: int, hidden: int) -> NDArray[np.int16]:
    return np.random.default_rng(length).integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (batch * length, hidden), np.int16)


@pytest.mark.parametrize(
    ("batch", "length", "hidden"),
    [(1, 128, 384), (1, 32, 768), (3, 37, 90), (2, 1, 32), (1, 5, 33), (5, 16, 1024)],
    ids=lambda value: str(value),
)
def test_mean_pooling(batch: int, length: int, hidden: int) -> None:
    counted = np.random.default_rng(batch).integers(0, length + 1, batch)
    counted[0] = length
    mask = (np.arange(length) < counted[:, None]).astype(np.int32)
    assert_pooled(pooling_kernel(batch, length, hidden), states_of(batch, length, hidden), mask)


@pytest.mark.parametrize("sketch", [1, 2])
def test_mean_pooling_in_other_lanes(sketch: int) -> None:
    mask = np.random.default_rng(sketch).integers(0, 2, (2, 70)).astype(np.int32)
    assert_pooled(pooling_kernel(2, 70, 96, sketch), states_of(2, 70, 96), mask)


@pytest.mark.parametrize("value", [WIDE_LIMIT, -WIDE_LIMIT, -1, 0])
@pytest.mark.parametrize("counted", [0, 1, 37])
def test_mean_pooling_of_one_value(value: int, counted: int) -> None:
    mask = np.tile(np.arange(37) < counted, (3, 1)).astype(np.int32)
    assert_pooled(pooling_kernel(3, 37, 90), np.full((3 * 37, 90), value, np.int16), mask)


def test_traces_of_mean_pooling_are_replayed() -> None:
    strategy, function, work = WarpMeanPooling(), mean_pooling_kernel(2, 37, 96), RowWorkload(2, 96, 8)
    for sketch in all_sketches(strategy, function, work):
        replayed = replay(strategy, function, work, trace_json(sketch))
        tvm.ir.assert_structural_equal(replayed, scheduled(strategy, sketch, work))


@pytest.mark.parametrize("hidden", [384, 768])
def test_mean_pooling_stays_in_registers(hidden: int) -> None:
    compiled = pooling_kernel(1, 128, hidden)
    assert "__shfl_down_sync" in compiled.source
    assert "__shared__" not in compiled.source
    assert "int4" in widest_access(compiled.source), "states are loaded by 16 bytes"
    assert (resources(compiled).local_bytes, resources(compiled).shared_bytes) == (0, 0)


# What has no sums


@pytest.mark.parametrize(("channels", "access"), [(768, {"int4"}), (90, {"short2", "char2"}), (33, set())])
def test_first_token(channels: int, access: set[str]) -> None:
    batch, length = 2, 5
    states = table(batch * length, channels, 4)
    mask = np.ones((batch, length), np.int32)
    pooled = np.full((batch, channels), 77, np.int8)
    compiled = kernel(VectorRows("pooled", 16), first_token_kernel(batch, length, channels, 0), batch, channels)
    compiled.run([states, mask, pooled])
    np.testing.assert_array_equal(pooled, FirstToken("first").oracle(states.astype(np.int64), mask.astype(np.int64)))
    assert widest_access(compiled.source) <= access


@pytest.mark.parametrize(
    ("inputs", "duplicates"), [(384, 16), (768, 4), (20, 12), (33, 5)], ids=lambda value: str(value)
)
def test_duplicate_channels(inputs: int, duplicates: int) -> None:
    random = np.random.default_rng(inputs)
    duplicated = random.integers(0, inputs, duplicates)
    duplicated[[0, -1]] = inputs - 1, 0
    operator = DuplicateChannels.of("duplicate", inputs, tuple(duplicated), Range(-127, 127))
    x = table(3, inputs, 5)
    output = np.full((3, operator.channels), 77, np.int8)
    function = duplicate_channels_kernel(operator, 3, 0)
    kernel(VectorRows("output", 4), function, 3, math.gcd(inputs, operator.channels)).run(
        [x, *operator.parameters(), output]
    )
    np.testing.assert_array_equal(output, operator.oracle(x.astype(np.int64)))


@pytest.mark.parametrize(("rows", "channels"), [(1, 768), (3, 90), (2, 33)])
def test_tanh(rows: int, channels: int) -> None:
    operator = Tanh.from_scales("tanh", 3e-4, 1 / 127)
    x = np.random.default_rng(channels).integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (rows, channels)).astype(np.int16)
    x[0, :3] = -WIDE_LIMIT, WIDE_LIMIT, 0
    output = np.full((rows, channels), 77, np.int8)
    kernel(VectorRows("output", 4), tanh_kernel(rows, channels, 0), rows, channels).run(
        [x, *operator.parameters(), output]
    )
    np.testing.assert_array_equal(output, operator.oracle(x.astype(np.int64)))
