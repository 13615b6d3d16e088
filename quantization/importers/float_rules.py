"""Rules of the float operators: sums, attention, layer normalization, activations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ...compiler.model import Activation
from .interpreter import Call, rule
from .onnx_graph import Node
from .probe import LEAST_MASK
from .quantized_rules import dynamic_linear, linear
from .values import (
    Accumulators,
    Activated,
    Array,
    Context,
    DynamicScale,
    ErrorFunction,
    Heads,
    IntegerConstant,
    Known,
    Linear,
    Moment,
    Norm,
    Probabilities,
    Scaled,
    Scores,
    Smoothed,
    Sum,
    Value,
    constant_floats,
    unrounded,
)

TOLERANCE = 1e-4
"""How far a constant of the graph may lie from the one it stands for, relatively: it may have been rounded."""
ANEW = "export the model anew as transformers defines it"


def _close(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=TOLERANCE)


def _scalar(value: Value) -> float | None:
    """The number that a known value of one element holds."""
    array = constant_floats(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def _channels(value: Value, count: int) -> Array | None:
    """The vector that a constant holds, a number for each of ``count`` channels."""
    array = constant_floats(value)
    if array is None or (isinstance(value, Known) and not value.constant):
        return None
    return array.reshape(-1) if array.ndim and array.shape[-1] == array.size == count else None


def _sorted(call: Call) -> tuple[Value, Value]:
    """Both inputs, a known one last."""
    a, b = call.value(0), call.value(1)
    return (b, a) if isinstance(a, Known | IntegerConstant) else (a, b)


def _as_known(value: Value) -> Value:
    """A dequantized constant as the floats that it stands for."""
    array = constant_floats(value)
    if isinstance(value, Known) or array is None:
        return value
    return Known(value.shape, value.origin, array, True)


@rule("Add")
def add(call: Call) -> Value:
    x, y = _sorted(call)
    where = call.node.where
    inner, grids = unrounded(x)
    if (
        isinstance(inner, Linear)
        and isinstance(y, Known | IntegerConstant)
        and inner.bias is None
        and y.shape == x.shape[-1:]
    ):
        return replace(inner, bias=y, product=grids)
    y = _as_known(y)
    if not isinstance(y, Known):
        parts = [part for value in (x, y) for part in (value.parts if isinstance(value, Sum) else (value,))]
        return Sum(x.shape, where, tuple(parts))
    if isinstance(x, Scores):
        return _masked(call, x, y.array)
    if isinstance(inner, ErrorFunction) and not inner.gate and (one := _scalar(y)) is not None and _close(one, 1.0):
        return replace(inner, gate=True, erf=grids)
    if isinstance(x, Moment) and x.kind == "variance" and (epsilon := _scalar(y)) is not None:
        return Moment(x.shape, where, x.x, "variance+epsilon", epsilon)
    beta = _channels(y, x.shape[-1])
    if isinstance(x, Norm) and x.beta is None and x.gamma is not None and beta is not None:
        return replace(x, beta=beta)
    raise call.node.refuse(f"adds a constant to the output of {x.origin}, which no part of the model does", ANEW)


def _masked(call: Call, scores: Scores, added: Array) -> Value:
    if not added.any() and scores.masked:
        return scores
    if not call.probe.is_mask(added):
        raise call.node.refuse(
            "what it adds to the scores is not 0 for tokens and at most -10000 for padding",
            "export the model with attention_mask as an input",
        )
    return replace(scores, masked=True, origin=call.node.where)


@rule("Where")
def where(call: Call) -> Value:
    condition = call.array(0)
    assert condition is not None
    chosen, other = call.value(1), call.value(2)
    if isinstance(chosen, Known):
        chosen, other, condition = other, chosen, ~condition
    if condition.all():
        return chosen
    if isinstance(chosen, Scores) and isinstance(other, Known) and float(np.max(other.array)) <= LEAST_MASK:
        return _masked(call, chosen, np.where(condition, 0.0, np.float64(LEAST_MASK)))
    raise call.node.refuse("chooses between values in a way that no part of the model does", ANEW)


@rule("Mul")
def multiply(call: Call) -> Value:
    x, y = _sorted(call)
    node = call.node
    y = _as_known(y)
    if isinstance(y, Known):
        return _times(call, x, y)
    if isinstance(x, DynamicScale) and isinstance(y, Accumulators):
        x, y = y, x
    if isinstance(x, Accumulators) and isinstance(y, DynamicScale):
        return dynamic_linear(node, x, y)
    if isinstance(unrounded(x)[0], ErrorFunction):
        x, y = y, x
    gate, grids = unrounded(y)
    if isinstance(gate, ErrorFunction) and gate.gate:
        inner, factor = (x.x, x.factor) if isinstance(x, Scaled) else (x, 1.0)
        if inner is gate.x:
            found = Activated(x.shape, node.where, inner, Activation.GELU, (gate.erf, grids, ()))
            return _scaled(node, found, 2 * factor)
    if isinstance(x, Moment) and x is y and x.kind == "centered":
        return Moment(x.shape, node.where, x.x, "squared")
    raise node.refuse(f"multiplies {x.origin} with {y.origin}, which no part of the model does", ANEW)


def _times(call: Call, x: Value, y: Known) -> Value:
    if isinstance(x, DynamicScale) and x.factor is None:
        return replace(x, factor=y.array.astype(np.float32))
    if (factor := _scalar(y)) is not None:
        return _scaled(call.node, _without_rounding(x, factor), factor)
    factors = _channels(y, x.shape[-1])
    if factors is None:
        raise call.node.refuse(f"multiplies the output of {x.origin} with an array of shape {list(y.shape)}", ANEW)
    if isinstance(x, Norm) and x.gamma is None:
        return replace(x, gamma=factors)
    return Smoothed(x.shape, call.node.where, x, factors)


def _without_rounding(x: Value, factor: float) -> Value:
    """The product of GELU before it is halved, its rounding noted in the GELU; any other value as it is."""
    inner, grids = unrounded(x)
    if not (isinstance(inner, Scaled) and isinstance(inner.x, Activated) and _close(inner.factor * factor, 1.0)):
        return x
    erf, gate, product = inner.x.steps
    return replace(inner, x=replace(inner.x, steps=(erf, gate, (*product, *grids))))


def _scaled(node: Node, x: Value, factor: float) -> Value:
    if isinstance(x, Heads | Scores):
        return replace(x, factor=x.factor * factor)
    if isinstance(x, Scaled):
        x, factor = x.x, x.factor * factor
    return x if _close(factor, 1.0) else Scaled(x.shape, node.where, x, factor)


@rule("Div")
def divide(call: Call) -> Value:
    x, y = call.value(0), call.value(1)
    if (divisor := _scalar(y)) is not None and divisor:
        return _scaled(call.node, _without_rounding(x, 1 / divisor), 1 / divisor)
    if isinstance(x, Moment) and isinstance(y, Moment) and (x.kind, y.kind) == ("centered", "deviation") and x.x is y.x:
        return Norm(x.shape, call.node.where, x.x, y.epsilon, None, None)
    raise call.node.refuse(f"divides {x.origin} by {y.origin}, which no part of the model does", ANEW)


@rule("Sub")
def subtract(call: Call) -> Value:
    x, y = call.value(0), call.value(1)
    if isinstance(y, Moment) and y.kind == "mean" and y.x is x:
        return Moment(x.shape, call.node.where, x, "centered")
    raise call.node.refuse("subtracts something else than the mean of a row", ANEW)


@rule("ReduceMean")
def reduce_mean(call: Call) -> Value:
    x, axes = call.value(0), call.array(1, "axes")
    if axes is None or [int(axis) % len(x.shape) for axis in axes] != [len(x.shape) - 1]:
        raise call.node.refuse("takes the mean over something else than the channels", "import it without pooling")
    shape = (*x.shape[:-1], 1)
    if isinstance(x, Moment) and x.kind == "squared":
        return Moment(shape, call.node.where, x.x, "variance")
    return Moment(shape, call.node.where, x, "mean")


@rule("Pow")
def power(call: Call) -> Value:
    x, y = call.value(0), call.value(1)
    if isinstance(x, Moment) and x.kind == "centered" and _scalar(y) == 2.0:
        return Moment(x.shape, call.node.where, x.x, "squared")
    raise call.node.refuse(
        "only a layer normalization squares", "the tanh form of GELU is not mapped; use hidden_act gelu"
    )


@rule("Sqrt")
def square_root(call: Call) -> Value:
    x = call.value(0)
    if isinstance(x, Moment) and x.kind in ("variance", "variance+epsilon"):
        return Moment(x.shape, call.node.where, x.x, "deviation", x.epsilon)
    raise call.node.refuse("only a layer normalization takes roots", ANEW)


@rule("LayerNormalization")
def layer_normalization(call: Call) -> Value:
    x = call.value(0)
    if call.node.attributes.get("axis", -1) not in (-1, len(x.shape) - 1):
        raise call.node.refuse("normalizes over more than the channels", ANEW)
    gamma, beta = (_channels(call.value(index), x.shape[-1]) for index in (1, 2))
    if gamma is None or beta is None:
        raise call.node.refuse(
            "gamma and beta are not float constants",
            "do not quantize LayerNormalization (leave it out of the op types)",
        )
    return Norm(x.shape, call.node.where, x, call.node.attributes.get("epsilon", 1e-5), gamma, beta)


@rule("Erf")
def error_function(call: Call) -> Value:
    x = call.value(0)
    if not (isinstance(x, Scaled) and _close(x.factor, math.sqrt(0.5))):
        raise call.node.refuse("erf of something else than x / sqrt(2)", ANEW)
    return ErrorFunction(x.shape, call.node.where, x.x, False)


@rule("Gelu", "com.microsoft.Gelu")
def gelu(call: Call) -> Value:
    if call.node.attributes.get("approximate", b"none") != b"none":
        raise call.node.refuse("the tanh form of GELU is not mapped", "use hidden_act gelu")
    return Activated(call.value(0).shape, call.node.where, call.value(0), Activation.GELU)


@rule("Relu", "Tanh")
def activation(call: Call) -> Value:
    x = call.value(0)
    return Activated(x.shape, call.node.where, x, Activation(call.node.op_type.lower()))


@rule("MatMul")
def matmul(call: Call) -> Value:
    a, b = call.value(0), call.value(1)
    if isinstance(a, Heads) and isinstance(b, Heads):
        if (a.order, b.order) != ("bhtd", "bhdt") or a.heads != b.heads:
            raise call.node.refuse("multiplies heads otherwise than queries with keys", ANEW)
        shape = (a.shape[0], a.heads, a.shape[2], b.shape[3])
        return Scores(shape, call.node.where, a, b, 1.0, False)
    probabilities, _ = unrounded(a)
    if isinstance(probabilities, Probabilities) and isinstance(b, Heads):
        return _context(call, a, b)
    return linear(call.node, a, b, is_transposed=False, bias=None)


def _context(call: Call, probabilities: Value, value: Heads) -> Value:
    if value.order != "bhtd" or value.factor != 1.0 or value.heads != probabilities.shape[1]:
        raise call.node.refuse("multiplies the probabilities with something else than the values", ANEW)
    context = Context(value.x.shape, call.node.where, probabilities, value)
    return Heads(value.shape, call.node.where, context, "bhtd", value.heads, 1.0)


@rule("Softmax")
def softmax(call: Call) -> Value:
    x = call.value(0)
    if not isinstance(x, Scores):
        raise call.node.refuse("a softmax of something else than attention's scores", "export the model's logits")
    if not x.masked:
        raise call.node.refuse("the padding of its scores is not masked", "export with attention_mask as an input")
    if call.node.attributes.get("axis", -1) not in (-1, 3):
        raise call.node.refuse("normalizes over something else than the keys", ANEW)
    if not _close(x.scale, 1 / math.sqrt(x.query.shape[-1])):
        raise call.node.refuse(f"its scores are scaled by {x.scale:.4g} instead of 1 / sqrt(channels of a head)", ANEW)
    return Probabilities(x.shape, call.node.where, x)
