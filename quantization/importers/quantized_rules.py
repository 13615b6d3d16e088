"""Rules of the quantization operators and of what multiplies by weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .interpreter import Call, known, rule
from .onnx_graph import Node
from .probe import LEAST_MASK
from .values import (
    DYNAMIC,
    Accumulators,
    Array,
    Column,
    DynamicScale,
    DynamicZeroPoint,
    Grid,
    Heads,
    IntegerConstant,
    IntegerRows,
    Known,
    Linear,
    Moment,
    Norm,
    Quantized,
    Rounded,
    Rows,
    Scores,
    Value,
)

EIGHT_BITS = (np.dtype(np.int8), np.dtype(np.uint8))
UNQUANTIZED = (
    "quantize this operator too (ONNX Runtime: op_types_to_quantize with MatMul, Gemm and Gather, no nodes_to_exclude)"
)
NO_PADDING = "calibrate with sentences without padding (batches of equal lengths)"
MASK_SCALE = -LEAST_MASK / 255
"""Grids that reach as far as a mask does have at least this scale."""
SPELLED_OUT = "export with opset_version=17 or later, where it is one node, LayerNormalization"


@rule("QuantizeLinear")
def quantize_linear(call: Call) -> Value:
    x = call.value(0)
    if isinstance(x, Known) and (x.constant or not call.probe.is_mask(x.array)):
        return known(call)[0]
    if isinstance(x, Moment) or (isinstance(x, Norm) and (x.gamma is None or x.beta is None)):
        raise call.node.refuse("rounds a step of a layer normalization that is spelled out", SPELLED_OUT)
    grid = _grid(call)
    if isinstance(x, Scores) and grid.scale > MASK_SCALE:
        raise call.node.refuse(f"its scale, {grid.scale:.3g}, is the mask's; all scores are rounded to 0", NO_PADDING)
    if isinstance(x, Heads):
        inner = Quantized(x.x.shape, call.node.where, x.x, grid.of_scaled(x.factor))
        return Heads(x.shape, call.node.where, inner, x.order, x.heads, x.factor)
    return Quantized(x.shape, call.node.where, x, grid)


def _grid(call: Call) -> Grid:
    scale, zero = call.array(1), call.array(2)
    if scale is None or scale.size != 1:
        raise call.node.refuse("an activation has one scale here, not one a channel", "quantize it per tensor")
    zero = np.zeros(1, np.uint8) if zero is None else zero
    if not np.isfinite(scale).all():
        raise call.node.refuse("its scale is infinite, as the mask is", NO_PADDING)
    if zero.dtype not in EIGHT_BITS:
        raise call.node.refuse(f"{zero.dtype} activations are not supported", "quantize them to int8 or uint8")
    return Grid(float(scale.reshape(())), int(zero.reshape(())), zero.dtype == np.uint8)


@rule("DequantizeLinear")
def dequantize_linear(call: Call) -> Value:
    x = call.value(0)
    if isinstance(x, Known):
        return _constant(call, x)
    if isinstance(x, IntegerRows):
        table = _constant(call, Known(x.table.shape, x.origin, x.table, True))
        assert isinstance(table, IntegerConstant)
        return Rows(x.shape, x.origin, table, x.indices)
    if isinstance(x, Heads) and isinstance(x.x, Quantized):
        inner = _rounded(call, x.x, x.factor)
        return Heads(x.shape, x.origin, inner, x.order, x.heads, x.factor)
    if isinstance(x, Quantized) and isinstance(x.x, Known):
        # A rounded mask may let padding through. Here it is always masked: the result is that of the sentence alone.
        return x.x
    if isinstance(x, Quantized) and isinstance(x.x, Scores):
        rounding = (_checked_grid(call, x), x.x.scale)
        return replace(x.x, roundings=(*x.x.roundings, rounding), origin=x.origin)
    if isinstance(x, Quantized) and isinstance(x.x, Column):
        column = x.x
        inner = _rounded(call, Quantized(column.x.shape, x.origin, column.x, x.grid))
        return column if inner is column.x else replace(column, x=inner)
    if isinstance(x, Quantized) and x.grid is not DYNAMIC:
        return _rounded(call, x)
    raise call.node.refuse("dequantizes what QuantizeLinear did not make", "quantize with QuantFormat.QDQ")


def _checked_grid(call: Call, integers: Quantized, factor: float = 1.0) -> Grid:
    grid = _grid(call).of_scaled(factor)
    if integers.grid != grid:
        raise call.node.refuse(
            f"its scale and zero point differ from those of {integers.origin}", "quantize the graph again"
        )
    return grid


def _rounded(call: Call, integers: Quantized, factor: float = 1.0) -> Value:
    grid, x = _checked_grid(call, integers, factor), integers.x
    if isinstance(x, Rounded) and x.grid == grid:
        return x
    if isinstance(x, Rows) and isinstance(x.table, IntegerConstant) and _is_grid_of(x.table, grid):
        return x
    return Rounded(x.shape, integers.origin, x, grid)


def _is_grid_of(table: IntegerConstant, grid: Grid) -> bool:
    """Whether all of the table's values lie on ``grid``, so that rounding to it changes nothing."""
    same = table.scale.size == 1 and float(table.scale.reshape(())) == grid.scale
    return same and int(table.zero_point.reshape(-1)[0]) == grid.zero_point


def _constant(call: Call, x: Known) -> Known | IntegerConstant:
    scale, zero = call.array(1), call.array(2)
    if x.array.dtype not in (*EIGHT_BITS, np.dtype(np.int32)):
        raise call.node.refuse(f"{x.array.dtype} constants are not supported", "quantize the weights to int8")
    if not x.constant:
        return known(call)[0]
    if scale is None or call.node.attributes.get("block_size", 0):
        raise call.node.refuse("weights with a scale a block are not supported", "quantize per tensor or per channel")
    axis = call.node.attributes.get("axis", 1) % max(1, x.array.ndim)
    zero = np.zeros(scale.shape, x.array.dtype) if zero is None else zero
    return integer_constant(call.node, x.array, scale, zero, axis)


def integer_constant(node: Node, integers: Array, scale: Array, zero: Array, axis: int) -> IntegerConstant:
    """The constant whose ``axis`` the scales and zero points belong to; one of them where all are the same."""
    if scale.size == 1 and zero.size == 1:
        return IntegerConstant(integers.shape, node.where, integers, scale.reshape(()), zero.reshape(()), None)
    if scale.ndim > 1 or scale.size not in (1, integers.shape[axis]) or zero.size not in (1, integers.shape[axis]):
        raise node.refuse(
            f"scales of shape {list(scale.shape)} do not fit a constant of shape {list(integers.shape)}",
            "quantize per tensor or per channel",
        )
    scale, zero = (np.broadcast_to(array.reshape(-1), integers.shape[axis]) for array in (scale, zero))
    return IntegerConstant(integers.shape, node.where, integers, scale, zero, axis)


def transposed(constant: IntegerConstant) -> IntegerConstant:
    """The transpose of a matrix."""
    axis = None if constant.axis is None else 1 - constant.axis
    integers = constant.integers.T
    return IntegerConstant(integers.shape, constant.origin, integers, constant.scale, constant.zero_point, axis)


@rule("DynamicQuantizeLinear")
def dynamic_quantize_linear(call: Call) -> tuple[Value, ...]:
    x = call.value(0)
    where = call.node.where
    return (
        Quantized(x.shape, where, x, DYNAMIC),
        DynamicScale((), where, x, None),
        DynamicZeroPoint((), where, x),
    )


@rule("MatMulInteger")
def matmul_integer(call: Call) -> Value:
    a, b = call.value(0), call.value(1)
    zero = call.inputs[2] if len(call.inputs) > 2 else None
    if not (isinstance(a, Quantized) and isinstance(zero, DynamicZeroPoint) and zero.x is a.x):
        raise call.node.refuse("its first input does not come from DynamicQuantizeLinear with its zero point")
    if not isinstance(b, Known) or not b.constant or b.array.ndim != 2 or b.array.dtype not in EIGHT_BITS:
        raise call.node.refuse(
            "its second input is no matrix of 8-bit weights", "quantize with MatMulConstBOnly=True (the default)"
        )
    weight_zero = call.array(3)
    weight_zero = np.zeros((), b.array.dtype) if weight_zero is None else weight_zero
    shape = (*a.shape[:-1], b.array.shape[1])
    return Accumulators(shape, call.node.where, a.x, b.array, weight_zero)


def dynamic_linear(node: Node, accumulators: Accumulators, scale: DynamicScale) -> Value:
    """``accumulators * (input scale * weight scale)``: the float output of a dynamically quantized linear."""
    if scale.x is not accumulators.x or scale.factor is None:
        raise node.refuse("multiplies integers with a scale that is not theirs", "quantize the graph again")
    weight = integer_constant(node, accumulators.integers, scale.factor, accumulators.zero_point, axis=1)
    x = Rounded(accumulators.x.shape, accumulators.origin, accumulators.x, DYNAMIC)
    return Linear(accumulators.shape, accumulators.origin, x, transposed(weight), None)


def linear(node: Node, x: Value, weight: Value, is_transposed: bool, bias: Value | None) -> Value:
    """``x @ weight + bias``; the weight is [K, N], or [N, K] where ``is_transposed``."""
    if isinstance(weight, Known):
        raise node.refuse("its weight is float", UNQUANTIZED)
    if not isinstance(weight, IntegerConstant) or weight.integers.ndim != 2:
        raise node.refuse("its second input is neither a weight matrix nor attention's", "export the model anew")
    if not isinstance(x, Rounded):
        raise node.refuse(
            f"its weight is quantized and its activation is not (it is the output of {x.origin})",
            "quantize the activations too: static QDQ, or dynamic int8",
        )
    if not isinstance(bias, Known | IntegerConstant | None):
        raise node.refuse("its bias depends on activations", "export the model anew")
    weight = weight if is_transposed else transposed(weight)
    if x.shape[-1] != weight.shape[1]:
        raise node.refuse(f"{x.shape[-1]} channels do not fit a weight of {weight.shape[1]}", "check the file")
    return Linear((*x.shape[:-1], weight.shape[0]), node.where, x, weight, bias)


@rule("Gemm")
def gemm(call: Call) -> Value:
    attributes = call.node.attributes
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
        raise call.node.refuse("alpha, beta or transA is set", "export the model anew")
    bias = call.inputs[2] if len(call.inputs) > 2 else None
    return linear(call.node, call.value(0), call.value(1), bool(attributes.get("transB", 0)), bias)


@rule("Gather")
def gather(call: Call) -> Value:
    from .shape_rules import gather_activation

    table, indices = call.value(0), call.array(1)
    assert indices is not None
    axis = call.node.attributes.get("axis", 0)
    shape = (*indices.shape, *table.shape[1:])
    if isinstance(table, IntegerConstant) and len(table.shape) == 2 and axis == 0:
        return Rows(shape, call.node.where, table, indices)
    if not isinstance(table, Known):
        return gather_activation(call, table, indices, axis)
    is_table = table.constant and table.array.ndim == 2 and axis == 0 and indices.ndim == 2
    if is_table and table.array.dtype in EIGHT_BITS:
        return IntegerRows(shape, call.node.where, table.array, indices)
    if is_table and table.array.dtype.kind == "f":
        return Rows(shape, call.node.where, table, indices)
    return known(call)[0]
