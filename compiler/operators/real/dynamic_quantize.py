"""Dynamic quantization: scale and zero point from the values themselves, as ONNX's DynamicQuantizeLinear.

With the least and largest value, 0 among them: ``scale = (largest - least) / 255``,
``zero_point = clamp(round(0 - least / scale))``, ``q = clamp(round(x / scale) + zero_point)`` in 0..255, in float32
with halves rounded to even; both are then lowered by 128. Where all values are 0 the scale is 1, as in ONNX Runtime.

ONNX takes one range for the whole tensor, other sentences and padding included. Here every sentence has its own, of
its unmasked tokens: its result then depends neither on its batch nor on the length that it was padded to, and it is
ONNX's for that sentence alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te, tirx

from .. import expressions as ex
from ..interval import Interval
from .functions import nearest, nearest_expression
from .operator import Extents, Plan, RealOperator
from .quantize import SMALLEST_SCALE, Float32Array, centered_expression
from .ranges import Bounded, Range, magnitude

STEPS = 255
OFFSET = 128


@dataclass(frozen=True)
class DynamicQuantize(RealOperator):
    """float32 [rows, n] to (integers -128..127 [rows, n], scale float32 [batch, 1], zero point int32 [batch, 1])."""

    name: str
    masked: bool
    """Whether the last input is the mask [batch, length] of the rows; without it every row is a sentence."""

    @property
    def plan(self) -> Plan:
        return Plan.DYNAMIC

    @property
    def structure(self) -> Hashable:
        return DynamicQuantize, self.masked

    @property
    def inputs(self) -> int:
        return 1 + self.masked

    @property
    def outputs(self) -> int:
        return 3

    def parameters(self) -> list[NDArray[Any]]:
        return []

    def oracle(self, *inputs: Any) -> Any:
        x: Float32Array = inputs[0]
        batch = len(inputs[1]) if self.masked else len(x)
        values = x.reshape(batch, -1, x.shape[1])
        counted = values
        if self.masked:
            counted = np.where(inputs[1][:, :, None] != 0, values, np.float32(0))
        least = np.minimum(counted.min(axis=(1, 2)), np.float32(0))
        largest = np.maximum(counted.max(axis=(1, 2)), np.float32(0))
        scale = np.maximum((largest - least) / np.float32(STEPS), np.float32(SMALLEST_SCALE))
        scale = np.where(largest == least, np.float32(1), scale)
        zero_point = nearest(np.clip(np.float32(0) - least / scale, np.float32(0), np.float32(STEPS)))
        low, high = (-zero_point)[:, None, None], (np.float32(STEPS) - zero_point)[:, None, None]
        with np.errstate(over="ignore"):
            scaled = values / scale[:, None, None]
        q = nearest(np.minimum(np.maximum(scaled, low), high)) + zero_point[:, None, None]
        integers = q.astype(np.int64).reshape(x.shape) - OFFSET
        return integers, scale[:, None], zero_point.astype(np.int64)[:, None] - OFFSET

    def bounds(self, length: int, *inputs: Bounded) -> tuple[Any, ...]:
        largest = max(2 * magnitude(inputs[0]) / STEPS, 1.0)
        integers = Interval(-OFFSET, STEPS - OFFSET)
        return integers, Range(0.0, largest * (1 + 2.0**-20)).require(self.name, "the scale"), integers

    def kernel(self, extents: Extents) -> Any:
        batch, length, rows, n = extents.batch, extents.length, extents.rows, extents.channels
        tokens = rows // batch
        x = te.placeholder((rows, n), "float32", name="x")
        mask = te.placeholder((batch, length), "int32", name="mask")
        zero, steps = (tirx.const(value, "float32") for value in (0.0, float(STEPS)))
        j, t, k, u = (te.reduce_axis((0, extent), name) for extent, name in ((n, "j"), (tokens, "t")) * 2)
        row_least = te.compute((rows,), lambda i: te.min(x[i, j], axis=j), name="row_least")
        row_largest = te.compute((rows,), lambda i: te.max(x[i, k], axis=k), name="row_largest")

        def counted(b: Any, token: Any, of_row: Any) -> ex.Expr:
            value = of_row[b * tokens + token]
            return ex.select(mask[b, token] != 0, value, zero) if self.masked else value

        least = te.compute((batch,), lambda b: te.min(counted(b, t, row_least), axis=t), name="least")
        largest = te.compute((batch,), lambda b: te.max(counted(b, u, row_largest), axis=u), name="largest")

        def scale_of(b: Any, _: Any) -> ex.Expr:
            low, high = te.min(least[b], zero), te.max(largest[b], zero)
            scale = te.max((high - low) / steps, tirx.const(SMALLEST_SCALE, "float32"))
            return ex.select(high > low, scale, tirx.const(1.0, "float32"))

        scale = te.compute((batch, 1), scale_of, name="scale")
        float_zero = te.compute(
            (batch,),
            lambda b: nearest_expression(
                te.min(te.max(zero - te.min(least[b], zero) / scale[b, 0], zero), steps)
            ),
            name="float_zero",
        )  # fmt: skip
        zero_point = te.compute(
            (batch, 1), lambda b, _: float_zero[b].astype("int32") - ex.constant(OFFSET, "int32"), name="zero_point"
        )
        offset = tirx.const(float(extents.output_zero_point - OFFSET), "float32")
        dtype = "uint8" if extents.output_zero_point else "int8"

        def quantized(i: Any, c: Any) -> ex.Expr:
            b = i // tokens
            centered = centered_expression(x[i, c], scale[b, 0], zero - float_zero[b], steps - float_zero[b])
            return (centered + (float_zero[b] + offset)).astype("int32").astype(dtype)

        output = te.compute((rows, n), quantized, name="output")
        return te.create_prim_func([x, *([mask] if self.masked else []), output, scale, zero_point])
