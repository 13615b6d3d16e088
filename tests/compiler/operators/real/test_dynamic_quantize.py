"""Dynamic quantization: kernel against oracle, oracle against ONNX, batches and padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from intbert.compiler.operators.real.dynamic_quantize import DynamicQuantize
from intbert.compiler.operators.real.ranges import LARGEST, Range
from intbert.errors import BoundsError
from numpy.typing import NDArray

from ..compiled import Processor
from .floats import Float32Array, assert_same_bytes, cases, draws, run


def kinds(rows: int, channels: int) -> dict[str, Float32Array]:
    normal = draws(0, rows, channels)
    return {
        "normal": normal,
        "positive": np.abs(normal),
        "negative": -np.abs(normal),
        "zero": np.zeros_like(normal),
        "subnormal": np.full_like(normal, 1e-42),
        "huge": normal * np.float32(1e27),
    }


@cases((1, 1, 1), (3, 7, 5), (1, 16, 64), everywhere=(2, 5, 24))
@pytest.mark.parametrize("masked", [True, False], ids=["tokens", "sentences"])
def test_kernel(processor: Processor, shape: tuple[int, int, int], masked: bool) -> None:
    batch, length, channels = shape
    operator = DynamicQuantize("x", masked)
    rows = batch * length if masked else batch
    mask = np.random.default_rng(0).integers(0, 2, (batch, length))
    for x in kinds(rows, channels).values():
        inputs: list[NDArray[Any]] = [x, mask] if masked else [x]
        results = run(processor, operator, batch, length, inputs)
        for result, expected in zip(results, operator.oracle(*inputs), strict=True):
            assert_same_bytes(result, expected)


@pytest.mark.parametrize("kind", ["normal", "positive", "negative", "huge"])
def test_one_sentence_is_onnx_dynamic_quantize_linear(kind: str) -> None:
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    x = kinds(9, 24)[kind]
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "scale", "zero"])
    info = helper.make_tensor_value_info
    outputs = [
        info("y", TensorProto.UINT8, None),
        info("scale", TensorProto.FLOAT, []),
        info("zero", TensorProto.UINT8, []),
    ]
    graph = helper.make_graph([node], "g", [info("x", TensorProto.FLOAT, None)], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    results = ReferenceEvaluator(model).run(None, {"x": x})
    y, onnx_scale, zero = (np.asarray(result) for result in results)
    q, scale, zero_point = DynamicQuantize("x", True).oracle(x, np.ones((1, 9), int))
    assert (scale[0, 0], zero_point[0, 0]) == (onnx_scale, int(zero) - 128)
    np.testing.assert_array_equal(q, y.astype(int) - 128)


def test_neither_batch_nor_padding_matters() -> None:
    operator = DynamicQuantize("x", True)
    x = draws(0, 12, 8)
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])
    q, scale, zero_point = operator.oracle(x, mask)
    for sentence, count in enumerate(mask.sum(axis=1)):
        alone = x[4 * sentence : 4 * sentence + count]
        q_alone, scale_alone, zero_alone = operator.oracle(alone, np.ones((1, count), int))
        np.testing.assert_array_equal(q[4 * sentence : 4 * sentence + count], q_alone)
        assert (scale[sentence], zero_point[sentence]) == (scale_alone[0], zero_alone[0])


def test_zero_is_exact() -> None:
    x = draws(4, 5, 8)
    x[0, 0] = 0
    q, _, zero_point = DynamicQuantize("x", True).oracle(x, np.ones((1, 5), int))
    assert q[0, 0] == zero_point[0, 0]


def test_infinite_scales_are_refused() -> None:
    with pytest.raises(BoundsError, match="x: the scale spans"):
        DynamicQuantize("x", True).bounds(1, Range(0, LARGEST * 1e10))
