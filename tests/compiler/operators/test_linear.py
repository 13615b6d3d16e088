"""Linear with every epilogue: kernel against oracle, oracle against real arithmetic, proofs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.kernels import Shape, build_kernel, parameters, structure
from intbert.compiler.operators.epilogues import Activated, Epilogue, Logits, Quantized, ResidualAdd
from intbert.compiler.operators.fixed_point import NARROW_LIMIT, WIDE_LIMIT
from intbert.compiler.operators.gelu import Gelu
from intbert.compiler.operators.linear import Linear, linear_kernel
from intbert.compiler.operators.requantize import Narrow, Requantize, Rescale
from intbert.compiler.operators.unpack import AddedColumns
from intbert.compiler.operators.value_range import NARROW, WIDE, Range
from intbert.compiler.packing import GROUP, Packing
from intbert.errors import BoundsError
from intbert.schedules.layout import ROW_MAJOR, PackedLayout

from ..packings import FIELDS, draw_values, on_some_processors
from .compiled import HOST, Array, Processor, compiled, every_processor, scheduled
from .draws import Int64Array, integers, ratios

Ratios = np.ndarray


def requantize(ratio: Ratios, output: Range) -> Requantize:
    return Requantize.from_ratio("layer", ratio, output)


EPILOGUES: dict[str, Callable[[Ratios, float], Epilogue]] = {
    "narrow": lambda ratio, _: Quantized(requantize(ratio, NARROW)),
    "relu": lambda ratio, _: Quantized(requantize(ratio, NARROW.from_zero())),
    "4 bits, zero point": lambda ratio, _: Quantized(requantize(ratio, Range(-8, 7, -3))),
    "relu, zero point": lambda ratio, _: Quantized(requantize(ratio, Range(-128, 127, -100).from_zero())),
    "wide": lambda ratio, _: Quantized(requantize(ratio, WIDE)),
    "gelu_narrow": lambda ratio, other: Activated(
        requantize(ratio, WIDE), Gelu.from_scale("layer", 2e-3), Narrow.from_ratio("layer", other / 2)
    ),
    "gelu, zero point": lambda ratio, other: Activated(
        requantize(ratio, WIDE),
        Gelu.from_scale("layer", 2e-3),
        Narrow.from_ratio("layer", other / 2, Range(-128, 127, -111)),
    ),
    "gelu_wide": lambda ratio, other: Activated(
        requantize(ratio, WIDE), Gelu.from_scale("layer", 2e-3), Rescale.from_ratio("layer", other)
    ),
    "residual_add": lambda ratio, other: ResidualAdd(requantize(ratio, WIDE), Rescale.from_ratio("layer", other)),
    "logits": lambda _, __: Logits(),
}

SHAPES = {
    "one": (1, 1, 1),
    "odd": (5, 24, 20),
    "vectors": (7, 48, 24),
    "tiles": (16, 32, 64),
    "blocks": (32, 64, 128),
}
"""Rows, output channels, input channels."""


@st.composite
def linears(draw: st.DrawFn, kind: str, channels: int, inputs: int) -> Linear:
    """A linear whose results spread over the range of its output, and beyond."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = draw(integers((channels, inputs), NARROW_LIMIT))
    bias = random.integers(-(2**20), 2**20, channels) * draw(st.sampled_from([0, 1, 2**9]))
    ratio = 2.0 ** random.uniform(-18, -0.1, channels)
    epilogue = EPILOGUES[kind](ratio, draw(ratios(1e-3, 1.9)))
    return Linear("layer", weight.astype(np.int8), bias.astype(np.int32), epilogue)


def stored(values: Int64Array, zero_point: int) -> Array:
    """Narrow values as memory holds them."""
    return values + zero_point


def read(linear: Linear, result: Array, zero_point: int) -> Int64Array:
    """The integers that memory holds as ``result``."""
    return result.astype(np.int64) - (zero_point if linear.epilogue.output_dtype == "int8" else 0)


@every_processor
@pytest.mark.parametrize(
    ("shape", "kind"),
    [(shape, "narrow") for shape in SHAPES]
    + [(shape, kind) for kind in EPILOGUES if kind != "narrow" for shape in ("odd", "tiles")],
)
def test_kernel(processor: Processor, shape: str, kind: str) -> None:
    rows, channels, inputs = SHAPES[shape]
    zero_point = processor.zero_point
    workload = Shape(1, rows, rows, inputs, zero_point, zero_point, processor.target().features)

    @settings(max_examples=12)
    @given(
        linears(kind, channels, inputs), integers((rows, inputs), NARROW_LIMIT), integers((rows, channels), WIDE_LIMIT)
    )
    def check(linear: Linear, x: Int64Array, residual: Int64Array) -> None:
        kernel = scheduled(processor, linear, workload)
        residuals = [residual] if linear.epilogue.takes_residual else []
        expected = linear.oracle(x, *residuals)
        (result,) = kernel(stored(x, zero_point), *parameters(linear, workload), *residuals)
        np.testing.assert_array_equal(read(linear, result, zero_point), expected)
        proven = linear.bounds()
        assert proven.low <= expected.min()
        assert expected.max() <= proven.high

    check()


def packed_linear(packing: Packing, channels: int, inputs: int, seed: int) -> Linear:
    weight = draw_values(packing, (channels, inputs), seed)
    random = np.random.default_rng(seed)
    ratio = 2.0 ** random.uniform(-8, -2, channels) / packing.limit
    bias = random.integers(-(2**8), 2**8, channels).astype(np.int32)
    return Linear("layer", weight, bias, EPILOGUES["narrow"](ratio, 1), packing)


@on_some_processors
def test_packed_weights(processor: Processor, packing: Packing) -> None:
    """One kernel a packing; a row of 7 values is not a multiple of eight, and no micro-kernel's layout fits 20 x 7."""
    zero_point = processor.zero_point
    shapes = [(8, 32, 32), *([(5, 20, 7)] if processor == HOST and packing in FIELDS else [])]
    for rows, channels, inputs in shapes:
        workload = Shape(1, rows, rows, inputs, zero_point, zero_point, processor.target().features)
        for seed in range(3):
            linear = packed_linear(packing, channels, inputs, seed)
            x = np.random.default_rng(seed).integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (rows, inputs))
            constants = parameters(linear, workload)
            assert constants[0].dtype == np.uint8
            # Where no layout fits, every channel is a block of its own, filled up to whole bytes.
            whole, by_channel = packing.bytes(channels * inputs), channels * packing.bytes(inputs)
            assert constants[0].nbytes == (whole if inputs % GROUP == 0 else by_channel)
            (result,) = scheduled(processor, linear, workload)(stored(x, zero_point), *constants)
            np.testing.assert_array_equal(read(linear, result, zero_point), linear.oracle(x))


@every_processor
@pytest.mark.parametrize(
    ("packing", "gain", "columns"),
    [(Packing(3), 16, [0, 9, 63]), (Packing(1, True), 1, [17]), (Packing(7, True), 1, list(range(64)))],
    ids=["3 bits", "1 bit", "all columns of 7 bits"],
)
def test_added_columns(processor: Processor, packing: Packing, gain: int, columns: list[int]) -> None:
    """Split channels' other parts, added while the weight is unpacked; of 7 bits modulo 256."""
    random = np.random.default_rng(0)
    base = draw_values(packing, (32, 64), 0).astype(np.int64)
    weight = base.copy()
    limit = min(127 // gain, 2 * packing.limit)
    weight[:, columns] = random.integers(-limit, limit + 1, (32, len(columns)))
    added = AddedColumns(np.array(columns, np.int32), (weight - base)[:, columns].astype(np.int8))
    bias = random.integers(-(2**8), 2**8, 32).astype(np.int32)
    linear = Linear("layer", (weight * gain).astype(np.int8), bias, Logits(), packing, gain, added)
    zero_point = processor.zero_point
    workload = Shape(1, 8, 8, 64, zero_point, zero_point, processor.target().features)
    x = random.integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (8, 64))
    (result,) = scheduled(processor, linear, workload)(stored(x, zero_point), *parameters(linear, workload))
    np.testing.assert_array_equal(result, x @ weight.T * gain + bias)


@every_processor
def test_packed_weights_get_the_same_strategy(processor: Processor) -> None:
    zero_point = processor.zero_point
    workload = Shape(1, 32, 32, 128, zero_point, zero_point, processor.target().features)
    packed = packed_linear(Packing(4), 64, 128, 0)
    plain = replace(packed, packing=None)
    assert build_kernel(packed, workload).strategy == build_kernel(plain, workload).strategy
    assert structure(packed) != structure(plain)
    kernel = scheduled(processor, packed, workload)
    x = np.random.default_rng(0).integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (32, 128))
    (result,) = kernel(stored(x, zero_point), *parameters(packed, workload))
    np.testing.assert_array_equal(read(packed, result, zero_point), plain.oracle(x))


@pytest.mark.parametrize("zero_point", [0, 128])
@pytest.mark.parametrize("layout", [ROW_MAJOR, PackedLayout(8, 4)], ids=["row-major", "packed"])
@pytest.mark.parametrize("kind", EPILOGUES)
def test_unscheduled_kernel(kind: str, layout: PackedLayout, zero_point: int) -> None:
    rows, channels, inputs = SHAPES["odd"]

    @settings(max_examples=10)
    @given(
        linears(kind, channels, inputs), integers((rows, inputs), NARROW_LIMIT), integers((rows, channels), WIDE_LIMIT)
    )
    def check(linear: Linear, x: Int64Array, residual: Int64Array) -> None:
        key = ("linear", kind, layout, zero_point)
        kernel = compiled(key, HOST, lambda: linear_kernel(linear, rows, layout, zero_point, zero_point))
        residuals = [residual] if linear.epilogue.takes_residual else []
        (result,) = kernel(stored(x, zero_point), *linear.parameters(layout, zero_point), *residuals)
        np.testing.assert_array_equal(read(linear, result, zero_point), linear.oracle(x, *residuals))

    check()


@settings(max_examples=30)
@given(st.sampled_from(["narrow", "wide", "residual_add"]), st.integers(0, 2**32 - 1))
def test_oracle_is_the_linear_function(kind: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    ratio = 2.0 ** random.uniform(-12, -4, 24)
    weight = random.integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (24, 20)).astype(np.int8)
    linear = Linear("layer", weight, random.integers(-4096, 4097, 24).astype(np.int32), EPILOGUES[kind](ratio, 1.5))
    x = random.integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (5, 20))
    residual = random.integers(-WIDE_LIMIT, WIDE_LIMIT + 1, (5, 24)) if kind == "residual_add" else None
    limit = NARROW_LIMIT if kind == "narrow" else WIDE_LIMIT
    real = ((x @ weight.T.astype(int) + linear.bias) * ratio).clip(-limit, limit)
    if residual is not None:
        real = (real + residual * 1.5).clip(-limit, limit)
    tolerance = {"narrow": 0.6, "wide": 1.5, "residual_add": 2.5}[kind]
    assert np.abs(linear.oracle(x, residual) - real).max() <= tolerance


def lone(weight: int, inputs: int, bias: int, epilogue: Epilogue) -> Linear:
    return Linear("layers.0.output", np.full((1, inputs), weight, np.int8), np.array([bias], np.int32), epilogue)


def test_accumulator_at_the_edge() -> None:
    """255 * 127 a product: the offset activations of unsigned kernels, in any order of accumulation."""
    widest = (2**31 - 1) // (127 * (255 + 128))
    lone(127, widest, 0, Logits()).bounds()
    with pytest.raises(BoundsError, match=r"layers\.0\.output: the accumulator .*int32"):
        lone(127, widest + 1, 0, Logits()).bounds()
    room = 2**31 - 1 - 255 * 127 - 128 * 127
    lone(-127, 1, room, Logits()).bounds()
    with pytest.raises(BoundsError, match=r"layers\.0\.output: the accumulator .*int32"):
        lone(-127, 1, room + 1, Logits()).bounds()


@every_processor
@pytest.mark.parametrize("sign", [1, -1])
def test_kernel_at_the_edge_of_the_accumulator(processor: Processor, sign: int) -> None:
    inputs = 64 * 8
    weight = np.full((16, inputs), 127 * sign, np.int8)
    bias = np.full(16, (2**31 - 1 - inputs * 127 * (255 + 128)) * sign, np.int32)
    linear = Linear("layer", weight, bias, Logits())
    linear.bounds()
    x = np.repeat([[NARROW_LIMIT], [-NARROW_LIMIT]], 8, axis=0) * np.ones((1, inputs), int)
    zero_point = processor.zero_point
    workload = Shape(1, 16, 16, inputs, zero_point, zero_point, processor.target().features)
    kernel = scheduled(processor, linear, workload)
    (result,) = kernel(stored(x, zero_point), *parameters(linear, workload))
    np.testing.assert_array_equal(result, linear.oracle(x))


@pytest.mark.parametrize("kind", [kind for kind in EPILOGUES if kind != "logits"])
def test_rounding_at_the_edge(kind: str) -> None:
    epilogue = EPILOGUES[kind](np.array([2.0**-17]), 0.5)
    assert epilogue.requantize is not None
    rounding = int(epilogue.requantize.rounding_bias()[0])
    room = 2**31 - 1 - rounding - 255 * 127 + 128 * 127
    lone(127, 1, room, epilogue).bounds()
    with pytest.raises(BoundsError, match=r"layers\.0\.output: the accumulator"):
        lone(127, 1, room + 1, epilogue).bounds()


@pytest.mark.parametrize("kind", ["gelu_narrow", "gelu_wide", "residual_add"])
def test_epilogues_prove_their_parts(kind: str) -> None:
    epilogue = EPILOGUES[kind](np.array([0.01]), 0.5)
    lone(1, 4, 0, epilogue).bounds()
    if isinstance(epilogue, Activated):
        broken: Epilogue = replace(epilogue, gelu=replace(epilogue.gelu, coefficient=2**15))
    else:
        assert isinstance(epilogue, ResidualAdd)
        broken = replace(epilogue, rescale=Rescale("layers.0.output", 2**15))
    with pytest.raises(BoundsError, match=r"layer.*: multiplier of"):
        lone(1, 4, 0, broken).bounds()


def test_kinds_name_what_is_compiled() -> None:
    kinds = {EPILOGUES[name](np.array([0.01]), 0.5).kind for name in EPILOGUES}
    assert len(kinds) == len(EPILOGUES)


@every_processor
def test_outputs_whose_channels_differ(processor: Processor) -> None:
    """Queries, keys and values of different bits: each channel is clamped to its own range."""
    random = np.random.default_rng(0)
    ranges = np.array([[-7] * 8 + [-8] * 8 + [-127] * 8, [7] * 8 + [7] * 8 + [127] * 8], np.int32)
    epilogue = Quantized(requantize(np.full(24, 0.02), NARROW), ranges)
    linear = Linear("layer", random.integers(-127, 128, (24, 32)).astype(np.int8), np.zeros(24, np.int32), epilogue)
    zero_point = processor.zero_point
    workload = Shape(1, 8, 8, 32, zero_point, zero_point, processor.target().features)
    x = random.integers(-NARROW_LIMIT, NARROW_LIMIT + 1, (8, 32))
    (result,) = scheduled(processor, linear, workload)(stored(x, zero_point), *parameters(linear, workload))
    expected = linear.oracle(x)
    np.testing.assert_array_equal(read(linear, result, zero_point), expected)
    np.testing.assert_array_equal([expected.min(axis=0), expected.max(axis=0)], ranges)


def test_weight_of_minus_128_is_refused() -> None:
    """Kernels add two products in int16: 2 * 128 * 128 does not fit."""
    lone(-127, 4, 0, Logits()).bounds()
    with pytest.raises(BoundsError, match=r"layers\.0\.output: a weight is -128"):
        lone(-128, 4, 0, Logits()).bounds()
