"""Pooling of float token states: the mean over unmasked tokens, or the first token."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tvm import te

from .. import expressions as ex
from .functions import real
from .operator import Extents, Plan, RealOperator
from .ranges import Bounded, Range
from .sums import running_sum


@dataclass(frozen=True)
class RealMeanPooling(RealOperator):
    """``float32(sum / count)`` over the unmasked tokens, summed in float64 from the first token to the last."""

    name: str

    @property
    def plan(self) -> Plan:
        return Plan.POOLED

    @property
    def structure(self) -> Hashable:
        return RealMeanPooling

    @property
    def inputs(self) -> int:
        return 2

    def parameters(self) -> list[NDArray[Any]]:
        return []

    def oracle(self, *inputs: Any) -> Any:
        """states: float32 [batch * length, H]; mask: [batch, length]; [batch, H]."""
        states, mask = inputs
        counted = np.where(mask[:, :, None] != 0, states.reshape(*mask.shape, -1).astype(np.float64), 0.0)
        count = mask.sum(axis=1, keepdims=True).clip(min=1).astype(np.float64)
        return (running_sum(counted, 1) / count).astype(np.float32)

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        states = inputs[0]
        return Range(min(float(states.low), 0.0), max(float(states.high), 0.0))

    def kernel(self, extents: Extents) -> Any:
        batch, length, hidden = extents.batch, extents.length, extents.channels
        states = te.placeholder((batch * length, hidden), "float32", name="states")
        mask = te.placeholder((batch, length), "int32", name="mask")
        i = te.reduce_axis((0, length), "i")

        def counted(b: Any, c: Any) -> ex.Expr:
            value = states[b * length + i, c].astype("float64")
            return te.sum(ex.select(mask[b, i] != 0, value, real(0.0)), axis=i)

        total = te.compute((batch, hidden), counted, name="total")
        k = te.reduce_axis((0, length), "k")
        count = te.compute((batch,), lambda b: te.sum(mask[b, k], axis=k), name="count")

        def mean(b: Any, c: Any) -> ex.Expr:
            divisor = ex.maximum(count[b], ex.constant(1, "int32")).astype("float64")
            return (total[b, c] / divisor).astype("float32")

        return te.create_prim_func([states, mask, te.compute((batch, hidden), mean, name="pooled")])


@dataclass(frozen=True)
class RealFirstToken(RealOperator):
    """The float state of each sentence's first token."""

    name: str

    @property
    def plan(self) -> Plan:
        return Plan.ELEMENTS

    @property
    def structure(self) -> Hashable:
        return RealFirstToken

    @property
    def inputs(self) -> int:
        return 2

    def parameters(self) -> list[NDArray[Any]]:
        return []

    def oracle(self, *inputs: Any) -> Any:
        """states: float32 [batch * length, H]; mask: [batch, length], for its shape; [batch, H]."""
        states, mask = inputs
        return np.ascontiguousarray(states.reshape(*mask.shape, -1)[:, 0])

    def bounds(self, length: int, *inputs: Bounded) -> Range:
        return Range(float(inputs[0].low), float(inputs[0].high))

    def kernel(self, extents: Extents) -> Any:
        batch, length, hidden = extents.batch, extents.length, extents.channels
        states = te.placeholder((batch * length, hidden), "float32", name="states")
        mask = te.placeholder((batch, length), "int32", name="mask")
        output = te.compute((batch, hidden), lambda b, c: states[b * length, c], name="output")
        return te.create_prim_func([states, mask, output])
