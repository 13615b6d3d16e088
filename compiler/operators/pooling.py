"""Pooling of token states: the mean over unmasked tokens, or the first token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from tvm import te

from . import expressions as ex
from .fixed_point import WIDE_LIMIT, Int64Array
from .interval import Interval


@dataclass(frozen=True)
class MeanPooling:
    """``floor((2 sum + count) / (2 count))`` of the unmasked tokens: their mean, halves rounded up.

    The one division an element lies at the very end, once a sentence.
    """

    name: str

    def oracle(self, states: Int64Array, mask: Int64Array) -> Int64Array:
        """states: [batch * length, H] wide; mask: [batch, length]; [batch, H] wide."""
        batch, length = mask.shape
        total = (states.reshape(batch, length, -1) * mask[:, :, None]).sum(axis=1)
        count = mask.sum(axis=1, keepdims=True).clip(min=1)
        return (2 * total + count) // (2 * count)

    def bounds(self, length: int) -> Interval:
        """The output's range for sequences of up to ``length`` tokens."""
        doubled = Interval.symmetric(WIDE_LIMIT) * 2 * length + Interval(1, length)
        # Kernels divide a non-negative number: they add twice 2^14 for every token first.
        (doubled + Interval(0, (WIDE_LIMIT + 1) * 2 * length)).require("int32", self.name, "the doubled sum")
        return Interval.symmetric(WIDE_LIMIT)

    def parameters(self) -> list[NDArray[Any]]:
        """It has no constants."""
        return []


def mean_pooling_kernel(batch: int, length: int, hidden: int) -> Any:
    """The unscheduled PrimFunc: arguments states (int16), mask (int32), pooled (int16)."""
    states = te.placeholder((batch * length, hidden), "int16", name="states")
    mask = te.placeholder((batch, length), "int32", name="mask")
    i = te.reduce_axis((0, length), "i")
    total = te.compute(
        (batch, hidden),
        lambda b, c: te.sum(states[b * length + i, c].astype("int32") * mask[b, i], axis=i),
        name="total",
    )
    k = te.reduce_axis((0, length), "k")
    count = te.compute((batch,), lambda b: te.sum(mask[b, k], axis=k), name="count")

    def element(b: Any, c: Any) -> ex.Expr:
        divisor = ex.maximum(count[b], ex.constant(1, "int32"))
        # The dividend is shifted, so that it is not negative.
        offset = ex.constant(WIDE_LIMIT + 1, "int32")
        dividend = total[b, c] * 2 + divisor + offset * divisor * 2
        return (ex.quotient(dividend, divisor * 2) - offset).astype("int16")

    pooled = te.compute((batch, hidden), element, name="pooled")
    return te.create_prim_func([states, mask, pooled])


@dataclass(frozen=True)
class FirstToken:
    """The narrow state of each sentence's first token, which poolers read."""

    name: str

    def oracle(self, states: Int64Array, mask: Int64Array) -> Int64Array:
        """states: [batch * length, H]; mask: [batch, length], for its shape; [batch, H]."""
        batch, length = mask.shape
        return states.reshape(batch, length, -1)[:, 0]

    def bounds(self) -> Interval:
        """The output's range: that of any narrow value."""
        return Interval(-128, 127)

    def parameters(self) -> list[NDArray[Any]]:
        """It has no constants."""
        return []


def first_token_kernel(batch: int, length: int, hidden: int, zero_point: int) -> Any:
    """The unscheduled PrimFunc: arguments states, mask (for its shape, as in the oracle), pooled."""
    mask = te.placeholder((batch, length), "int32", name="mask")
    states = te.placeholder((batch * length, hidden), "uint8" if zero_point else "int8", name="states")
    pooled = te.compute((batch, hidden), lambda b, c: states[b * length, c], name="pooled")
    return te.create_prim_func([states, mask, pooled])
