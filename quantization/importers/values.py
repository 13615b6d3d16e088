"""What the values of a quantized ONNX graph mean: the expressions that the rules build, node by node.

``B`` sentences of ``T`` tokens, ``H`` channels. Values are compared by identity: an ONNX value is one expression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...compiler.model import Activation, Quantization

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Value:
    """Any value: its shape for the probe's inputs, and the node that made it, for messages."""

    shape: tuple[int, ...]
    origin: str


@dataclass(frozen=True, eq=False)
class Known(Value):
    """An array: a constant of the graph, or what follows from the probe's ids, mask and shapes alone."""

    array: Array
    constant: bool
    """Whether it is the same for all inputs."""


@dataclass(frozen=True, eq=False)
class IntegerConstant(Value):
    """A dequantized constant: ``(integers - zero_point) * scale``."""

    integers: Array
    scale: NDArray[np.float32]
    zero_point: Array
    axis: int | None
    """The axis with a scale an index; None: one scale."""


@dataclass(frozen=True)
class Grid:
    """The 8-bit integers of an activation, as QuantizeLinear's inputs describe them."""

    scale: float
    zero_point: int
    unsigned: bool

    def quantization(self) -> Quantization:
        """The same in signed integers (see Quantization)."""
        return Quantization(self.scale, 8, self.zero_point - 128 * self.unsigned, narrow_range=False)

    def of_scaled(self, factor: float) -> Grid:
        """The grid of ``x`` whose rounding, times ``factor``, is the rounding of ``factor * x`` to this grid."""
        return self if factor == 1.0 else Grid(self.scale / factor, self.zero_point, self.unsigned)


Grids: TypeAlias = tuple[Grid, ...]
"""The roundings of a value, one after the other."""
DYNAMIC = None
"""In place of a grid: chosen at run time, from the values."""


@dataclass(frozen=True, eq=False)
class Quantized(Value):
    """The integers of ``x``."""

    x: Value
    grid: Grid | None


@dataclass(frozen=True, eq=False)
class Rounded(Value):
    """``x`` quantized and dequantized."""

    x: Value
    grid: Grid | None


def unrounded(value: Value) -> tuple[Value, Grids]:
    """What ``value`` is a rounding of, and the grids, the first one first; itself where it is none."""
    grids: Grids = ()
    while isinstance(value, Rounded) and value.grid is not None:
        value, grids = value.x, (value.grid, *grids)
    return value, grids


def constant_floats(value: Value) -> Array | None:
    """The array that a known value holds, or a dequantized constant stands for."""
    if isinstance(value, Known):
        return value.array
    if not isinstance(value, IntegerConstant):
        return None
    shape = [1] * value.integers.ndim
    if value.axis is not None:
        shape[value.axis] = -1
    zero_point = value.zero_point.astype(np.int32).reshape(shape)
    return (value.integers.astype(np.int32) - zero_point).astype(np.float32) * value.scale.reshape(shape)


@dataclass(frozen=True, eq=False)
class DynamicScale(Value):
    """The scale of the dynamically quantized ``x``, times the weights' ``factor``."""

    x: Value
    factor: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class DynamicZeroPoint(Value):
    """The zero point of the dynamically quantized ``x``."""

    x: Value


@dataclass(frozen=True, eq=False)
class Accumulators(Value):
    """MatMulInteger of the dynamically quantized ``x`` and of integer weights [K, N]."""

    x: Value
    integers: Array
    zero_point: Array


@dataclass(frozen=True, eq=False)
class IntegerRows(Value):
    """Rows of an integer table that is dequantized after the look-up."""

    table: Array
    indices: Array


@dataclass(frozen=True, eq=False)
class Rows(Value):
    """Rows of an embedding table: [B, T, H]."""

    table: Known | IntegerConstant
    indices: Array


@dataclass(frozen=True, eq=False)
class Sum(Value):
    """A sum of activations: of embeddings, or of a linear and the residual."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Norm(Value):
    """Layer normalization; gamma and beta are None until they are met."""

    x: Value
    epsilon: float
    gamma: Array | None
    beta: Array | None


@dataclass(frozen=True, eq=False)
class Moment(Value):
    """A step of a layer normalization that is spelled out: ``mean``, ``centered``, ``squared``, ``variance``,
    ``variance+epsilon`` or ``deviation`` of the rows of ``x``."""

    x: Value
    kind: str
    epsilon: float = 0.0


@dataclass(frozen=True, eq=False)
class Linear(Value):
    """``x @ weight + bias``; the weight's integers are [N, K]."""

    x: Rounded
    weight: IntegerConstant
    bias: Known | IntegerConstant | None
    product: Grids = ()
    """How ``x @ weight`` is rounded before the bias is added."""


@dataclass(frozen=True, eq=False)
class Activated(Value):
    """An element-wise function of ``x``."""

    x: Value
    kind: Activation
    steps: tuple[Grids, Grids, Grids] = ((), (), ())
    """How the steps of a GELU that is spelled out are rounded: ``erf(x / sqrt 2)``, that plus 1, that times ``x``."""


@dataclass(frozen=True, eq=False)
class Scaled(Value):
    """``factor * x``."""

    x: Value
    factor: float


@dataclass(frozen=True, eq=False)
class Smoothed(Value):
    """``x`` with a factor for every channel."""

    x: Value
    factors: Array


@dataclass(frozen=True, eq=False)
class ErrorFunction(Value):
    """``erf(x / sqrt 2)``, plus 1 where ``gate``: a part of GELU."""

    x: Value
    gate: bool
    erf: Grids = ()
    """How it was rounded before 1 was added."""


@dataclass(frozen=True, eq=False)
class Heads(Value):
    """``factor * x`` with ``x`` [B, T, H] seen as heads; ``order``: the axes batch, token, head and d."""

    x: Value
    order: str
    heads: int
    factor: float


@dataclass(frozen=True, eq=False)
class Scores(Value):
    """[B, heads, T, T]: ``factor * query @ key^T``, and whether padding was masked."""

    query: Heads
    key: Heads
    factor: float
    masked: bool
    roundings: tuple[tuple[Grid, float], ...] = ()
    """How the scores were rounded, and their factor there."""

    @property
    def scale(self) -> float:
        """What the products of unscaled queries and keys have been multiplied by."""
        return self.factor * self.query.factor * self.key.factor


@dataclass(frozen=True, eq=False)
class Probabilities(Value):
    """The softmax of masked scores."""

    scores: Scores


@dataclass(frozen=True, eq=False)
class Context(Value):
    """[B, T, H]: the values, weighted with the probabilities (perhaps Rounded)."""

    probabilities: Value
    value: Heads


@dataclass(frozen=True, eq=False)
class FirstToken(Value):
    """[B, H]: the first token's row."""

    x: Value


@dataclass(frozen=True, eq=False)
class Column(Value):
    """[B, T] or [B, T, 1]: one channel."""

    x: Value
    index: int
