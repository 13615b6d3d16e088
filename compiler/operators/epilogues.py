"""What follows a linear layer's accumulators, fused into it: one epilogue a kind of consumer.

An epilogue owns its per-channel arrays and scalars, computes itself in NumPy (the oracle) and in TE (the
expression), and proves its own bounds. ``kind`` names the expression: operators with equal kinds and shapes share
one compiled kernel, whatever their constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import expressions as ex
from .fixed_point import WIDE_LIMIT, Int64Array, saturate
from .gelu import Gelu, gelu_expression
from .interval import Interval
from .requantize import (
    Narrow,
    Requantize,
    Rescale,
    narrow_expression,
    requantize_expression,
    rescale_expression,
)
from .value_range import WIDE


class Epilogue(Protocol):
    """The interface of all epilogues."""

    @property
    def kind(self) -> str:
        """Names the expression and everything that is compiled into it."""
        ...

    @property
    def output_dtype(self) -> str:
        """int8 (narrow), int16 (wide) or int32 (logits)."""
        ...

    @property
    def takes_residual(self) -> bool:
        """Whether a wide residual of the output's shape is an input."""
        ...

    @property
    def requantize(self) -> Requantize | None:
        """The per-channel requantization it starts with, if any."""
        ...

    def scalars(self) -> list[int]:
        """int32 constants that the expression reads at run time."""
        ...

    def oracle(self, q: Int64Array, residual: Int64Array | None) -> Int64Array:
        """q: [rows, N] accumulators with the bias added; [rows, N]."""
        ...

    def bounds(self, q: Interval) -> Interval:
        """The output's range; raises BoundsError where an intermediate may overflow."""
        ...

    def expression(
        self,
        rounded: ex.Expr,
        channel: Sequence[ex.Expr],
        scalars: Sequence[ex.Expr],
        residual: ex.Expr | None,
    ) -> ex.Expr:
        """TE: ``channel`` holds this channel's (shift, multiplier)."""
        ...


@dataclass(frozen=True)
class Quantized:
    """To narrow or wide values; a range that begins at its zero point is a ReLU."""

    requantize: Requantize
    ranges: NDArray[np.int32] | None = None
    """[2, N]: the least and the largest integer of each channel, where the channels of several activations that
    differ are one output."""

    @property
    def takes_residual(self) -> bool:
        return False

    @property
    def kind(self) -> str:
        return f"quantized_{self.requantize.output.kind}{'' if self.ranges is None else '_by_channel'}"

    @property
    def output_dtype(self) -> str:
        return "int8" if self.requantize.output.is_narrow else "int16"

    def scalars(self) -> list[int]:
        return self.requantize.output.scalars()

    def oracle(self, q: Int64Array, residual: Int64Array | None) -> Int64Array:
        quantized = self.requantize.oracle(q)
        return quantized if self.ranges is None else np.clip(quantized, *self.ranges)

    def bounds(self, q: Interval) -> Interval:
        return self.requantize.bounds(q)

    def expression(
        self,
        rounded: ex.Expr,
        channel: Sequence[ex.Expr],
        scalars: Sequence[ex.Expr],
        residual: ex.Expr | None,
    ) -> ex.Expr:
        shift, multiplier, *limits = channel
        quantized = requantize_expression(rounded, shift, multiplier, self.requantize.output, *scalars)
        if not limits:
            return quantized
        low, limit = limits
        return ex.maximum(ex.minimum(quantized, limit), low)


@dataclass(frozen=True)
class Activated:
    """GELU on wide values, then to narrow ones, or to wide ones of another scale."""

    requantize: Requantize
    gelu: Gelu
    output: Narrow | Rescale

    @property
    def takes_residual(self) -> bool:
        return False

    @property
    def kind(self) -> str:
        return f"gelu_{self.output.output.kind if isinstance(self.output, Narrow) else self.output_dtype}"

    @property
    def output_dtype(self) -> str:
        return "int8" if isinstance(self.output, Narrow) else "int16"

    def scalars(self) -> list[int]:
        if isinstance(self.output, Narrow):
            return [*self.gelu.scalars(), *self.output.scalars()]
        return [*self.gelu.scalars(), self.output.multiplier]

    def oracle(self, q: Int64Array, residual: Int64Array | None) -> Int64Array:
        return saturate(self.output.oracle(self.gelu.oracle(self.requantize.oracle(q))), WIDE_LIMIT)

    def bounds(self, q: Interval) -> Interval:
        activated = self.gelu.bounds(self.requantize.bounds(q))
        return self.output.bounds(activated).clamp(Interval.symmetric(WIDE_LIMIT))

    def expression(
        self,
        rounded: ex.Expr,
        channel: Sequence[ex.Expr],
        scalars: Sequence[ex.Expr],
        residual: ex.Expr | None,
    ) -> ex.Expr:
        shift, multiplier = channel
        wide = requantize_expression(rounded, shift, multiplier, WIDE)
        clip, normalization, coefficient, *output = scalars
        activated = gelu_expression(wide, clip, normalization, coefficient)
        if isinstance(self.output, Narrow):
            mantissa, power, *zero_point = output
            return narrow_expression(activated, mantissa, power, self.output.output, *zero_point)
        return ex.clamp(rescale_expression(activated, output[0]), -WIDE_LIMIT, WIDE_LIMIT)


@dataclass(frozen=True)
class ResidualAdd:
    """Adds the residual stream: each side is brought to the common scale, then added, then clamped."""

    requantize: Requantize
    rescale: Rescale

    @property
    def kind(self) -> str:
        return "residual_add"

    @property
    def output_dtype(self) -> str:
        return "int16"

    @property
    def takes_residual(self) -> bool:
        return True

    def scalars(self) -> list[int]:
        return [self.rescale.multiplier]

    def oracle(self, q: Int64Array, residual: Int64Array | None) -> Int64Array:
        assert residual is not None
        return saturate(self.requantize.oracle(q) + self.rescale.oracle(residual), WIDE_LIMIT)

    def bounds(self, q: Interval) -> Interval:
        self.requantize.bounds(q)
        self.rescale.bounds(Interval.symmetric(WIDE_LIMIT))
        return Interval.symmetric(WIDE_LIMIT)

    def expression(
        self,
        rounded: ex.Expr,
        channel: Sequence[ex.Expr],
        scalars: Sequence[ex.Expr],
        residual: ex.Expr | None,
    ) -> ex.Expr:
        shift, multiplier = channel
        wide = requantize_expression(rounded, shift, multiplier, WIDE)
        total = ex.saturating_add_int16(wide, rescale_expression(residual, scalars[0]))
        return ex.clamp(total, -WIDE_LIMIT, WIDE_LIMIT)


@dataclass(frozen=True)
class Logits:
    """The accumulators themselves, bias added: the integer output of a classifier."""

    @property
    def kind(self) -> str:
        return "logits"

    @property
    def output_dtype(self) -> str:
        return "int32"

    @property
    def takes_residual(self) -> bool:
        return False

    @property
    def requantize(self) -> None:
        return None

    def scalars(self) -> list[int]:
        return []

    def oracle(self, q: Int64Array, residual: Int64Array | None) -> Int64Array:
        return q

    def bounds(self, q: Interval) -> Interval:
        return q

    def expression(
        self,
        rounded: ex.Expr,
        channel: Sequence[ex.Expr],
        scalars: Sequence[ex.Expr],
        residual: ex.Expr | None,
    ) -> ex.Expr:
        return rounded


def channel_arrays(epilogue: Epilogue, channels: int) -> list[NDArray[Any]]:
    """The per-channel arrays as kernels read them, each [channels]: int32 shifts, int16 multipliers, or also the
    int16 limits (low, high)."""
    if epilogue.requantize is None:
        return []
    ranges = epilogue.ranges if isinstance(epilogue, Quantized) else None
    arrays = [
        epilogue.requantize.shift.astype(np.int32),
        epilogue.requantize.multiplier.astype(np.int16),
        *([] if ranges is None else ranges.astype(np.int16)),
    ]
    return [np.ascontiguousarray(np.broadcast_to(array, (channels,))) for array in arrays]
