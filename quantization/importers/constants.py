"""Constants of a graph as tensors of a QuantizedModel: the same integers and scales, or a refusal."""

from __future__ import annotations

import numpy as np

from ...compiler.model import WeightTensor
from ...errors import GraphError
from .values import Array, Grid, IntegerConstant, Known, Linear, constant_floats

LIMIT = 127
ONE = np.asarray(1.0)


def float_tensor(values: Array) -> WeightTensor:
    """Floats as they are."""
    return WeightTensor(np.ascontiguousarray(values, np.float32), ONE)


def weight_tensor(constant: IntegerConstant, origin: str) -> WeightTensor:
    """A linear's weight [N, K] without its zero points, which the integers must absorb: -127 to 127."""
    if constant.axis not in (0, None):
        raise GraphError(
            f"{origin}: its weight has a scale for every input channel; quantize it per tensor, or per output channel"
        )
    zero = constant.zero_point.astype(np.int32)
    centered = constant.integers.astype(np.int32) - (zero[:, None] if zero.ndim else zero)
    outside = np.abs(centered) > LIMIT
    if outside.any():
        raise GraphError(
            f"{origin}: {int(outside.sum())} weights lie beyond -127..127 around their zero point, for example "
            f"{int(centered[outside].flat[0])}; quantize with symmetric weights (WeightSymmetric, int8) or reduce_range"
        )
    return WeightTensor(np.ascontiguousarray(centered, np.int8), constant.scale.astype(np.float64))


def table_tensor(table: Known | IntegerConstant, origin: str) -> WeightTensor:
    """An embedding table: float32 as it is, or its integers, unsigned ones lowered by 128.

    A zero point adds a constant to all channels of a row. The layer normalization after the sum of the tables
    subtracts the row's mean, and the constant with it: so it can be left out, exactly, where nothing between them is
    rounded.
    """
    if isinstance(table, Known):
        return float_tensor(table.array)
    if table.axis not in (0, None):
        raise GraphError(f"{origin}: its table has a scale for every channel; quantize it per tensor or per row")
    unsigned = table.integers.dtype == np.uint8
    values = (table.integers.astype(np.int16) - 128 * unsigned).astype(np.int8)
    return WeightTensor(np.ascontiguousarray(values), table.scale.astype(np.float64))


def rounded_table(table: Known | IntegerConstant, grid: Grid) -> IntegerConstant:
    """The table on ``grid``: its rows, rounded once rather than whenever they are read."""
    floats = constant_floats(table)
    assert floats is not None
    dtype, scale = np.dtype(np.uint8 if grid.unsigned else np.int8), np.float32(grid.scale)
    limits = np.iinfo(dtype)
    integers = np.clip(np.rint(floats / scale) + grid.zero_point, limits.min, limits.max).astype(dtype)
    zero_point = np.array(grid.zero_point, dtype)
    return IntegerConstant(table.shape, table.origin, integers, np.array(scale), zero_point, None)


def bias_tensor(linear: Linear, weight: WeightTensor) -> WeightTensor:
    """The bias [N]: float32, or int32 where its scale is that of the accumulators; zeros where there is none."""
    bias, count = linear.bias, weight.values.shape[0]
    if bias is None:
        return float_tensor(np.zeros(count))
    if bias.shape != (count,):
        raise GraphError(f"{linear.origin}: a bias of shape {list(bias.shape)} for {count} channels; check the file")
    if isinstance(bias, Known):
        if not np.isfinite(bias.array).all():
            raise GraphError(f"{linear.origin}: its bias holds NaN or infinity; mend the model")
        return float_tensor(bias.array)
    grid = linear.x.grid
    scale = np.float64(0) if grid is None else grid.scale * weight.scale
    if (
        not linear.product
        and bias.integers.dtype == np.int32
        and not bias.zero_point.any()
        and np.allclose(bias.scale, scale, rtol=1e-6, atol=0)
    ):
        return WeightTensor(np.ascontiguousarray(bias.integers), np.broadcast_to(scale, weight.scale.shape).copy())
    # Other integers are what they stand for: the bias is added to floats.
    return float_tensor((bias.integers.astype(np.int64) - bias.zero_point).astype(np.float64) * bias.scale)
