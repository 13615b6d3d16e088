"""Dequantization, activation functions, quantization: kernels against oracles, oracles against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler.model import Quantization
from intbert.compiler.operators.interval import Interval
from intbert.compiler.operators.real.elementwise import Elementwise
from intbert.compiler.operators.real.functions import Function
from intbert.compiler.operators.real.quantize import Quantize
from intbert.compiler.operators.real.ranges import Range
from intbert.compiler.operators.real.sources import MAX_REACH, Accumulators, Floats, reach_of
from intbert.errors import BoundsError

from ..compiled import HOST, Processor
from .floats import as_integers, assert_same_bytes, cases, draws, run
from .operators import NARROW, ONE_SIDED, SOURCES, SYMMETRIC, source, source_inputs

QUANTIZATIONS = {"floats": None, "symmetric": SYMMETRIC, "one-sided": ONE_SIDED, "4 bits": NARROW}


@cases((1, 1, 1), (1, 14, 64), everywhere=(2, 5, 24))
@pytest.mark.parametrize("kind", SOURCES)
def test_kernel(processor: Processor, shape: tuple[int, int, int], kind: str) -> None:
    batch, length, channels = shape
    for function, quantize in ((Function.IDENTITY, None), (Function.GELU, SYMMETRIC)):
        operator = Elementwise("layer", source(kind, channels), function, quantize)
        inputs = source_inputs(kind, batch, batch * length, channels)
        (result,) = run(processor, operator, batch, length, inputs)
        assert_same_bytes(result, operator.oracle(*inputs))


@pytest.mark.parametrize("quantize", [pytest.param(value, id=name) for name, value in QUANTIZATIONS.items()])
@pytest.mark.parametrize("function", [pytest.param(value, id=value.value) for value in Function])
def test_every_function_and_quantization(function: Function, quantize: Quantize | None) -> None:
    operator = Elementwise("layer", source("accumulators", 48), function, quantize)
    inputs = source_inputs("accumulators", 1, 9, 48)
    (result,) = run(HOST, operator, 1, 9, inputs)
    assert_same_bytes(result, operator.oracle(*inputs))


def test_dequantization_is_one_rounding_of_the_exact_value() -> None:
    accumulators = source_inputs("accumulators", 1, 9, 48)[0]
    dequantize = source("accumulators", 48)
    assert isinstance(dequantize, Accumulators)
    for row, column in ((0, 0), (1, 5), (4, 47)):
        exact = int(accumulators[row, column]) * float(dequantize.scale[column])
        assert dequantize.oracle(accumulators)[row, column] == exact + float(dequantize.bias[column])


def test_quantize_is_onnx_quantize_linear() -> None:
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    x = draws(3, 21, 40, 3.0)
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["y"])
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g",
        [info("x", TensorProto.FLOAT, None), info("scale", TensorProto.FLOAT, []), info("zero", TensorProto.INT8, [])],
        [info("y", TensorProto.INT8, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    quantize = ONE_SIDED
    inputs = {"x": x, "scale": quantize.scale, "zero": np.array(quantize.zero_point, np.int8)}
    (expected,) = ReferenceEvaluator(model).run(None, inputs)
    np.testing.assert_array_equal(quantize.oracle(x), expected)


def test_halves_round_to_even() -> None:
    quantize = Quantize.of("x", Quantization(2.0, 8, narrow_range=False))
    x = np.array([1, 3, 5, -1, -3, -5, 253, 255, 1e30, -1e30], np.float32)
    assert quantize.oracle(x).tolist() == [0, 2, 2, 0, -2, -2, 126, 127, 127, -128]
    assert quantize.rounded(x).tolist() == [0, 4, 4, 0, -4, -4, 252, 254, 254, -256]


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        (Quantization(1e-40, 8), r"layers\.0\.context: scale 1e-40"),
        (Quantization(1e39, 8), r"layers\.0\.context: scale 1e\+39"),
        (Quantization(0.1, 15), r"layers\.0\.context has 15 bits"),
    ],
)
def test_refused_quantizations(quantization: Quantization, message: str) -> None:
    with pytest.raises(BoundsError, match=message):
        Quantize.of("layers.0.context", quantization)


def test_accumulators_whose_product_is_not_exact() -> None:
    ones = np.ones(2, np.float32)
    fitting = Elementwise("layer", Accumulators(ones, ones, np.array([5, MAX_REACH - 1])), Function.IDENTITY)
    assert fitting.bounds(1, Interval(0, 1)).high >= MAX_REACH
    larger = Elementwise("layer", Accumulators(ones, ones, np.array([5, MAX_REACH])), Function.IDENTITY)
    with pytest.raises(BoundsError, match=r"layer: an accumulator may reach 536870912"):
        larger.bounds(1, Interval(0, 1))


def test_infinite_outputs_are_refused() -> None:
    huge = Accumulators(np.full(1, 2.0**100, np.float32), np.zeros(1, np.float32), np.array([2**28]))
    with pytest.raises(BoundsError, match=r"layer: the linear's float output spans"):
        Elementwise("layer", huge, Function.IDENTITY).bounds(1, Interval(0, 1))


@pytest.mark.parametrize("function", [pytest.param(value, id=value.value) for value in Function])
def test_values_stay_in_their_range(function: Function) -> None:
    operator = Elementwise("layer", Floats(), function)
    x = draws(1, 14, 32)
    proven = operator.bounds(1, Range(float(x.min()), float(x.max())))
    result = operator.oracle(x)
    assert proven.low <= result.min()
    assert result.max() <= proven.high


def test_reach_holds_every_accumulator() -> None:
    random = np.random.default_rng(0)
    weight, bias = random.integers(-127, 128, (5, 8)), random.integers(-100, 100, 5)
    q = np.where(weight[2] > 0, 127, -128)
    reach = reach_of(weight, bias, 255)
    assert (np.abs((q - -128) @ weight.T + bias) <= reach).all()
    assert as_integers(np.array([3], np.uint8), 128).tolist() == [-125]
