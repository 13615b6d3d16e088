"""Linear layer: int8 activations times int8 weights, int32 accumulators, bias, and a fused epilogue.

Oracle: ``epilogue(x @ weight.T + bias)``, every intermediate exact.

Where the ISA multiplies unsigned by signed bytes (x86), memory holds narrow activations as ``q + 128`` in uint8; the
kernel's bias then contains ``-128 * sum_k weight[n, k]``, so that the sum is the same integer.

Weights of fewer than 8 bits lie in the artifact packed, in the order of the micro-kernel's layout; the kernel unpacks
them first, and all that follows is the same. Or, those of the fewest bits, as indices into tables (see
:mod:`~intbert.schedules.lookup`): another way to the same sums.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tvm import te

from ...errors import BoundsError
from ...schedules.layout import PackedLayout
from ...schedules.lookup.format import WeightLevels
from ...schedules.lookup.operands import LookupOperands
from ...schedules.unpack import AddedValues
from ..packing import Packing
from . import expressions as ex
from .epilogues import Epilogue, channel_arrays
from .fixed_point import NARROW_LIMIT, Int64Array, by_rows, exact_product
from .interval import Interval
from .lookup import lookup_products
from .products import Products
from .unpack import AddedColumns, weight_stage
from .value_range import NARROW, Range

WeightOperands: TypeAlias = PackedLayout | LookupOperands
"""How a kernel reads the weight."""
CHANNEL_ARRAYS = ("shift", "multiplier", "low", "limit")
OFFSET = 128
"""What unsigned dot products add to the activations."""


@dataclass(frozen=True)
class Linear:
    """``y[rows, N] = epilogue(x[rows, K] @ weight[N, K].T + bias[N])``."""

    name: str
    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    epilogue: Epilogue
    packing: Packing | None = None
    """How the kernel's constants hold the weight; None: as int8."""
    gain: int = 1
    """The weight is this power of two times what is packed: few bits alone would leave the accumulators coarse."""
    added: AddedColumns | None = None
    """What is not packed, but added to it: ``weight = (packed + added) * gain``."""
    input_range: Range = NARROW
    """The activations', zero point included: the bias has taken it into account."""

    def __post_init__(self) -> None:
        assert self.packing is not None or (self.gain == 1 and self.added is None)
        if self.packing is not None:
            assert not (self.weight % self.gain).any()
            self.packing.check(self._packed_values())

    def _packed_values(self) -> NDArray[np.int8]:
        values = self.weight // self.gain
        if self.added is None:
            return values
        values = values.astype(np.int16)
        values[:, self.added.columns] -= self.added.values
        return values.astype(np.int8)

    @property
    def added_values(self) -> AddedValues | None:
        """What schedules know about what is added to the packed weight."""
        if self.added is None or self.packing is None:
            return None
        merged = self.weight[:, self.added.columns] // self.gain
        exact = self.packing.holds(merged.astype(np.int16) - self.added.values)
        return AddedValues(len(self.added.columns), self.gain, exact)

    @property
    def structure(self) -> Hashable:
        """What is compiled into its kernel, beside the shape."""
        activations = None if self.packing is None else (self.reach, self.activation_bits)
        return self.epilogue.kind, self.weight.shape, self.packing, self.gain, self.added_values, activations

    @property
    def levels(self) -> WeightLevels | None:
        """The values of the packed weight; None where it is int8, or not all of it is packed."""
        return None if self.packing is None or self.added is not None else self.packing.levels

    @property
    def reach(self) -> int:
        """The largest magnitude of an activation, its zero point included."""
        return max(-self.input_range.low, self.input_range.limit)

    @property
    def activation_bits(self) -> int:
        """The fewest bits that hold every activation, its zero point included, in two's complement."""
        return max(-self.input_range.low - 1, self.input_range.limit).bit_length() + 1

    @property
    def channels(self) -> int:
        """N, the output channels."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        """K, the input channels."""
        return self.weight.shape[1]

    def oracle(self, x: Int64Array, residual: Int64Array | None = None) -> Int64Array:
        """x: [rows, K] narrow; residual: [rows, N] wide, where the epilogue adds one; [rows, N]."""
        return by_rows(self.epilogue.oracle, exact_product(x, self.weight.T) + self.bias, residual)

    def bounds(self) -> Interval:
        """The output's range; BoundsError that names this layer where int32 could overflow.

        Every partial sum lies within the sum of magnitudes, for signed and for offset activations alike, so any order
        of accumulation is safe.
        """
        if self.weight.min(initial=0) < -NARROW_LIMIT:
            raise BoundsError(
                f"{self.name}: a weight is -128, and pairs of products that micro-kernels add in int16 could overflow; "
                "quantize the weights to -127..127"
            )
        magnitude = np.abs(self.weight.astype(np.int64)).sum(axis=1)
        partial = (OFFSET + self.input_range.limit) * int(magnitude.max(initial=0))
        Interval.symmetric(partial + int(np.abs(self.kernel_bias(OFFSET)).max(initial=0))).require(
            "int32", self.name, "the accumulator"
        )
        positive = np.maximum(self.weight, 0).astype(np.int64).sum(axis=1)
        negative = positive - magnitude
        lowest, highest = self.input_range.low, self.input_range.limit
        low = int((self.bias + positive * lowest + negative * highest).min(initial=0))
        high = int((self.bias + positive * highest + negative * lowest).max(initial=0))
        return self.epilogue.bounds(Interval(low, high).require("int32", self.name, "the accumulator"))

    def kernel_bias(self, zero_point: int) -> NDArray[np.int64]:
        """[N]: the bias with the zero point's correction and the requantization's rounding folded in."""
        bias = self.bias - zero_point * self.weight.astype(np.int64).sum(axis=1)
        requantize = self.epilogue.requantize
        return bias if requantize is None else bias + requantize.rounding_bias()

    def parameters(self, operands: WeightOperands, zero_point: int) -> list[NDArray[Any]]:
        """The kernel's constants in the order of its arguments."""
        if isinstance(operands, LookupOperands):
            # The tables are of the activations without their zero point.
            stored = [operands.layout.pack(self._packed_values())]
            bias = self.kernel_bias(0) - operands.bias * self.gain
        else:
            stored, bias = self._stored_weight(operands), self.kernel_bias(zero_point)
        arrays = [*stored, bias.astype(np.int32), *channel_arrays(self.epilogue, self.channels)]
        if scalars := self.epilogue.scalars():
            arrays.append(np.array(scalars, np.int32))
        return arrays

    def _stored_weight(self, layout: PackedLayout) -> list[NDArray[Any]]:
        if self.packing is None:
            return [layout.pack(self.weight)]
        values = layout.pack(self._packed_values())
        values = values.reshape(len(values), -1)
        padding = layout.padded(values.shape[1]) - values.shape[1]
        values = np.pad(values, ((0, 0), (0, padding)), constant_values=self.packing.offset)
        arrays: list[NDArray[Any]] = [self.packing.pack(values)]
        return arrays if self.added is None else [*arrays, self.added.values, self.added.index(self.inputs)]


def linear_kernel(linear: Linear, rows: int, operands: WeightOperands, zero_point: int, output_zero_point: int) -> Any:
    """The unscheduled PrimFunc: arguments x, parameters..., [residual], output.

    Blocks: ``accumulator`` (the reduction) and ``output`` (the epilogue); before them ``weight``, where it is packed,
    or ``table``, where it is indices.
    """
    n = linear.channels
    epilogue = linear.epilogue
    x = te.placeholder((rows, linear.inputs), "uint8" if zero_point else "int8", name="x")
    products = (
        lookup_products(x, operands) if isinstance(operands, LookupOperands) else _dot_products(x, linear, operands)
    )
    bias = te.placeholder((n,), "int32", name="bias")
    arrays = channel_arrays(epilogue, n)
    channel = [
        te.placeholder((n,), str(array.dtype), name=name) for name, array in zip(CHANNEL_ARRAYS, arrays, strict=False)
    ]
    scalar_count = len(epilogue.scalars())
    scalars = te.placeholder((max(scalar_count, 1),), "int32", name="scalars")
    residual = te.placeholder((rows, n), "int16", name="residual")

    def element(i: Any, j: Any) -> ex.Expr:
        value = epilogue.expression(
            products.sum(i, j) + bias[j],
            [array[j] for array in channel],
            [scalars[index] for index in range(scalar_count)],
            residual[i, j] if epilogue.takes_residual else None,
        )
        return ex.store_narrow(value, output_zero_point) if epilogue.output_dtype == "int8" else value

    output = te.compute((rows, n), element, name="output")
    arguments = [x, *products.weight, bias, *channel]
    if scalar_count:
        arguments.append(scalars)
    if epilogue.takes_residual:
        arguments.append(residual)
    return te.create_prim_func([*arguments, output])


def _dot_products(x: Any, linear: Linear, layout: PackedLayout) -> Products:
    n, k = linear.channels, linear.inputs
    stored = weight_stage(linear.packing, linear.gain, linear.added, layout, n, k)
    reduction = te.reduce_axis((0, k), "reduction")
    accumulator = te.compute(
        (x.shape[0], n),
        lambda i, j: te.sum(
            x[i, reduction].astype("int32") * stored.weight[layout.index(j, reduction)].astype("int32"),
            axis=reduction,
        ),
        name="accumulator",
    )
    return Products(stored.arguments, lambda i, j: accumulator[i, j])
