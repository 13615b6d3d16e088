"""Packed weights on NVIDIA GPUs: the generated CUDA source gives the oracle's bytes, without a race."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from intbert.compiler.kernels import Definition, Shape, define
from intbert.compiler.operators.fixed_point import WIDE_LIMIT
from intbert.compiler.operators.linear import Linear
from intbert.compiler.operators.unpack import AddedColumns
from intbert.compiler.operators.value_range import Range
from intbert.compiler.packing import Packing
from intbert.schedules.cuda.packed_linear.bit_planes import (
    FEW_PLANES_M8,
    FEW_PLANES_M16,
    MANY_PLANES_M8,
    MANY_PLANES_M16,
)
from intbert.schedules.cuda.packed_linear.dot_products import UNPACK_DP4A
from intbert.schedules.cuda.packed_linear.fragments import INT4_K32, INT4_K64, UNPACK_K16, UNPACK_K32
from intbert.schedules.cuda.packed_linear.strategy import PackedTileLinear
from intbert.schedules.cuda.packed_linear.wmma import UNPACK_WMMA, UnpackedTileLinear
from intbert.schedules.layout import PADDED_ROWS
from intbert.schedules.space import all_sketches, scheduled
from intbert.schedules.strategy import PrimFunc
from intbert.targets import get_target
from intbert.targets.target import Target
from numpy.typing import NDArray

from ...compiler.packings import draw_values
from ...cuda.kernels import cuda_kernel
from ..linear_cases import EPILOGUES, epilogues

BINARY = Packing(1, mid_rise=True)
STRATEGIES = {
    strategy.name: (strategy, get_target(chip))
    for strategy, chip in (
        (PackedTileLinear(UNPACK_K32, ("mma_k32", "cp_async")), "jetson-orin"),
        (PackedTileLinear(UNPACK_K16, ("ldmatrix",)), "cuda-sm75"),
        (UnpackedTileLinear(UNPACK_WMMA, ("imma",)), "jetson-xavier"),
        (PackedTileLinear(UNPACK_DP4A, ("dp4a",)), "jetson-tx2"),
        (PackedTileLinear(INT4_K64, ("imma_s4", "cp_async")), "jetson-orin"),
        (PackedTileLinear(INT4_K32, ("imma_s4",)), "cuda-sm75"),
        (PackedTileLinear(FEW_PLANES_M16, ("bmma", "cp_async")), "jetson-orin"),
        (PackedTileLinear(MANY_PLANES_M16, ("bmma", "cp_async")), "jetson-orin"),
        (PackedTileLinear(FEW_PLANES_M8, ("bmma",)), "cuda-sm75"),
        (PackedTileLinear(MANY_PLANES_M8, ("bmma",)), "cuda-sm75"),
    )
}


def layer(
    channels: int,
    inputs: int,
    packing: Packing,
    bits: int,
    epilogue: str = "narrow",
    gain: int = 1,
    split: Sequence[int] = (),
) -> Linear:
    """For activations of ``bits`` bits; the bias moves the sums around what clamps them. Of the columns ``split`` the
    weight is what has no code."""
    weight = draw_values(packing, (channels, inputs), channels * inputs).astype(np.int64)
    random = np.random.default_rng(channels)
    bias = random.integers(-(2**16), 2**16, channels).astype(np.int32)
    read = Range(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    added = None
    if split:
        columns = np.array(split, np.int32)
        values = random.integers(-(127 // gain), 127 // gain + 1, (channels, len(split))) - weight[:, columns]
        values = np.clip(values, -128, 127)
        weight[:, columns] += values
        added = AddedColumns(columns, values.astype(np.int8))
    weight = (weight * gain).astype(np.int8)
    return Linear("layer", weight, bias, epilogues(channels)[epilogue], packing, gain, added, read)


def definition(linear: Linear, rows: int, target: Target) -> Definition:
    return define(linear, Shape(1, rows, rows, linear.inputs, 0, 0, target.kernel_features))


def scheduled_for(strategy: PackedTileLinear, of: Definition, tile: int) -> PrimFunc:
    return scheduled(strategy, all_sketches(strategy, of.kernel(strategy), of.workload)[tile], of.workload)


@dataclass(frozen=True)
class Case:
    """A layer, its activations, and how it is run; ``tile``: its number among the strategy's, the default first."""

    name: str
    packing: Packing
    bits: int = 8
    rows: int = 17
    channels: int = 43
    inputs: int = 384
    epilogue: str = "narrow"
    gain: int = 1
    tile: int = 0
    split: tuple[int, ...] = ()

    @property
    def linear(self) -> Linear:
        return layer(self.channels, self.inputs, self.packing, self.bits, self.epilogue, self.gain, self.split)

    def activations(self) -> list[NDArray[np.int8]]:
        """Random ones, all of them the smallest, and all the largest."""
        shape, reach = (self.rows, self.inputs), 2 ** (self.bits - 1)
        random = np.random.default_rng(self.rows).integers(-reach, reach, shape)
        return [each.astype(np.int8) for each in (random, np.full(shape, -reach), np.full(shape, reach - 1))]

    def assert_oracle(self) -> None:
        strategy, target = STRATEGIES[self.name]
        linear = self.linear
        of = definition(linear, self.rows, target)
        assert strategy.refuse(of.workload, target.kernel_features) is None
        kernel = cuda_kernel(scheduled_for(strategy, of, self.tile), target)
        shape = (self.rows, self.channels)
        residual = np.random.default_rng(self.rows).integers(-WIDE_LIMIT, WIDE_LIMIT + 1, shape).astype(np.int16)
        residuals = [residual] if linear.epilogue.takes_residual else []
        for x in self.activations():
            output = np.full(shape, 77, linear.epilogue.output_dtype)
            kernel.run([x, *linear.parameters(PADDED_ROWS, 0), *residuals, output])
            expected = linear.oracle(x.astype(np.int64), residual.astype(np.int64) if residuals else None)
            np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        *(("unpack_mma_k32", bits) for bits in range(1, 8)),
        *((name, bits) for name in ("unpack_mma_k16", "unpack_wmma", "unpack_dp4a") for bits in (4, 7)),
    ],
)
def test_codes_as_int8(name: str, bits: int) -> None:
    Case(name, Packing(bits, bits % 2 == 1)).assert_oracle()


@pytest.mark.parametrize(
    ("name", "bits"), [*(("mma_s4_k64", bits) for bits in range(1, 5)), ("mma_s4_k32", 3), ("mma_s4_k32", 4)]
)
def test_four_bit_products(name: str, bits: int) -> None:
    Case(name, Packing(bits, bits % 2 == 1), bits=4).assert_oracle()


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("mma_b1_m16_few", 1),
        ("mma_b1_m16_few", 2),
        ("mma_b1_m16_many", 4),
        ("mma_b1_m16_many", 8),
        ("mma_b1_m8_few", 2),
        ("mma_b1_m8_many", 8),
    ],
)
def test_bit_planes(name: str, bits: int) -> None:
    """Weights of -4 and 4: a model's gain multiplies what is packed."""
    Case(name, BINARY, bits=bits, gain=4).assert_oracle()


@pytest.mark.parametrize(
    ("name", "weight_bits", "bits", "rows", "channels", "inputs"),
    [
        ("unpack_mma_k32", 4, 8, 3, 45, 312),
        ("unpack_mma_k32", 7, 8, 1, 33, 1200),
        ("unpack_mma_k32", 3, 8, 17, 40, 300),
        ("unpack_mma_k16", 4, 8, 3, 45, 312),
        ("unpack_mma_k16", 2, 8, 1, 33, 300),
        ("unpack_wmma", 3, 8, 3, 45, 312),
        ("unpack_wmma", 6, 8, 1, 33, 300),
        ("unpack_dp4a", 3, 8, 3, 45, 312),
        ("mma_s4_k64", 4, 4, 3, 45, 320),
        ("mma_s4_k64", 3, 4, 17, 33, 4),
        ("mma_s4_k32", 2, 3, 3, 40, 96),
        ("mma_b1_m16_few", 1, 2, 3, 45, 312),
        ("mma_b1_m16_many", 1, 8, 1, 33, 64),
        ("mma_b1_m8_few", 1, 1, 17, 40, 192),
    ],
)
def test_padded_inputs(name: str, weight_bits: int, bits: int, rows: int, channels: int, inputs: int) -> None:
    """What pads a row of the weight adds nothing; rows of activations are aligned to 4, 8 or 16 bytes."""
    packing = Packing(weight_bits, weight_bits % 2 == 1)
    Case(name, packing, bits=bits, rows=rows, channels=channels, inputs=inputs).assert_oracle()


@pytest.mark.parametrize(
    ("name", "weight_bits", "bits", "split"),
    [
        ("unpack_mma_k32", 4, 8, 5),
        ("unpack_mma_k16", 3, 8, 33),
        ("unpack_wmma", 5, 8, 37),
        ("unpack_dp4a", 2, 8, 5),
        ("mma_s4_k64", 4, 4, 32),
        ("mma_s4_k32", 3, 4, 1),
        ("mma_b1_m16_few", 1, 2, 37),
        ("mma_b1_m8_many", 1, 8, 4),
    ],
)
def test_split_channels(name: str, weight_bits: int, bits: int, split: int) -> None:
    """The first and the last input among them."""
    columns = tuple(np.linspace(0, 255, split).astype(int).tolist())
    packing = Packing(weight_bits, weight_bits == 1)
    Case(name, packing, bits=bits, rows=19, inputs=256, gain=2, split=columns).assert_oracle()


@pytest.mark.parametrize(
    ("tile", "rows", "inputs"), [(1, 131, 128), (2, 64, 512), (3, 3, 640), (4, 1, 256), (5, 50, 384), (6, 70, 128)]
)
@pytest.mark.parametrize("name", ["unpack_mma_k32", "unpack_wmma", "mma_s4_k64"])
def test_tiles(name: str, tile: int, rows: int, inputs: int) -> None:
    """More and fewer stages than buffers; rows and channels are no multiple of the tile's."""
    packing = Packing(4, mid_rise=True)
    Case(name, packing, bits=4, rows=rows, channels=155, inputs=inputs, gain=8, tile=tile).assert_oracle()


@pytest.mark.parametrize("epilogue", [name for name in EPILOGUES if name != "narrow"])
def test_epilogues(epilogue: str) -> None:
    Case("unpack_mma_k32", Packing(4), inputs=256, epilogue=epilogue).assert_oracle()


@pytest.mark.parametrize(
    ("name", "bits", "rows", "channels", "inputs"),
    [
        ("unpack_mma_k32", 8, 128, 1536, 384),
        ("unpack_mma_k32", 8, 16, 768, 3072),
        ("mma_s4_k64", 4, 64, 384, 1536),
    ],
    ids=["minilm", "bert-base", "minilm-4-bit"],
)
def test_shapes_of_models(name: str, bits: int, rows: int, channels: int, inputs: int) -> None:
    Case(name, Packing(4), bits=bits, rows=rows, channels=channels, inputs=inputs, gain=16).assert_oracle()


def test_refusals() -> None:
    def reason(name: str, linear: Linear, target: Target | None = None) -> str | None:
        strategy, own = STRATEGIES[name]
        features = (target or own).kernel_features
        return strategy.refuse(definition(linear, 16, target or own).workload, features)

    four = layer(32, 128, Packing(4), 4)
    thor, xavier = get_target("jetson-thor"), get_target("jetson-xavier")
    assert reason("unpack_mma_k32", four, thor) is None
    assert reason("mma_s4_k64", four, thor) == "the GPU has no imma_s4"
    assert reason("mma_b1_m16_few", layer(32, 128, BINARY, 2), thor) == "the GPU has no bmma"
    assert reason("unpack_mma_k16", four, xavier) == "the GPU has no ldmatrix"
    assert reason("unpack_wmma", four, xavier) is None
    assert reason("unpack_wmma", four, get_target("jetson-tx2")) == "the GPU has no imma"
    assert reason("mma_b1_m16_many", four, thor) == "weights have 4 bits, and mma_b1_m16_many is for at most 1"
    eight = "activations have 8 bits, and mma_s4_k64 is for 1 to 4"
    assert reason("mma_s4_k64", layer(32, 128, Packing(4), 8)) == eight
    assert reason("unpack_mma_k32", layer(32, 90, Packing(4), 8)) == "inputs 90 is not a multiple of 4"
    whole = Linear("layer", np.ones((32, 128), np.int8), np.zeros(32, np.int32), epilogues(32)["narrow"])
    assert reason("unpack_mma_k32", whole) == "the weight is int8, and unpack_mma_k32 unpacks codes"
    base, far = np.full((32, 1), -7, np.int8), np.full((32, 1), 127, np.int8)
    beyond = replace(
        four, weight=np.where(np.arange(128) == 3, far, base), added=AddedColumns(np.array([3], np.int32), far - base)
    )
    split = "what is added to split channels leaves int8, and unpack_mma_k32 multiplies it as int8"
    assert reason("unpack_mma_k32", beyond) == split
    assert reason("unpack_mma_k32", layer(32, 128, Packing(4), 8, split=[3])) is None
