"""Rules of the operators that rearrange activations."""

from __future__ import annotations

import numpy as np

from .interpreter import Call, rule
from .quantized_rules import transposed
from .values import Array, Column, FirstToken, Heads, IntegerConstant, Known, Linear, Probabilities, Value, unrounded

UNKNOWN_VIEW = "export the model anew as transformers defines it"


@rule("Identity", "Dropout")
def identity(call: Call) -> Value:
    if call.node.op_type == "Dropout" and len(call.node.outputs) > 1:
        raise call.node.refuse("a dropout mask is read", "export the model in evaluation mode")
    return call.value(0)


@rule("Cast")
def cast(call: Call) -> Value:
    from onnx import TensorProto

    if call.node.attributes.get("to") != TensorProto.FLOAT:
        raise call.node.refuse("activations of other types than float32 are not supported", "export in float32")
    return call.value(0)


@rule("Shape")
def shape(call: Call) -> Value:
    sizes = call.value(0).shape
    start, end = call.node.attributes.get("start", 0), call.node.attributes.get("end", len(sizes))
    array = np.array(sizes[start:end], np.int64)
    return Known(array.shape, call.node.where, array, False)


@rule("Transpose")
def transpose(call: Call) -> Value:
    x = call.value(0)
    order = call.node.attributes.get("perm", list(range(len(x.shape)))[::-1])
    if isinstance(x, IntegerConstant) and list(order) == [1, 0]:
        return transposed(x)
    if not isinstance(x, Heads):
        raise call.node.refuse("only the heads of attention are transposed", UNKNOWN_VIEW)
    sizes = tuple(x.shape[axis] for axis in order)
    return Heads(sizes, call.node.where, x.x, "".join(x.order[axis] for axis in order), x.heads, x.factor)


@rule("Reshape")
def reshape(call: Call) -> Value:
    x, target = call.value(0), call.array(1)
    assert target is not None
    sizes = _sizes(call, x, target)
    if sizes == x.shape:
        return x
    batch, tokens = call.probe.ids.shape
    if len(x.shape) == 3 and len(sizes) == 4 and sizes[:2] == x.shape[:2]:
        return Heads(sizes, call.node.where, x, "bthd", sizes[2], 1.0)
    if isinstance(x, Heads) and x.order == "bthd" and x.factor == 1.0 and sizes == (batch, tokens, x.x.shape[-1]):
        return x.x
    raise call.node.refuse(f"from {list(x.shape)} to {list(sizes)} is not how heads are split or merged", UNKNOWN_VIEW)


def _sizes(call: Call, x: Value, target: Array) -> tuple[int, ...]:
    sizes = [int(size) for size in target]
    if not call.node.attributes.get("allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    total = int(np.prod(x.shape))
    if -1 in sizes:
        sizes[sizes.index(-1)] = total // -int(np.prod(sizes))
    if int(np.prod(sizes)) != total:
        raise call.node.refuse(
            f"{list(x.shape)} cannot become {[int(size) for size in target]}",
            "the shapes were fixed at another size; export with dynamic axes",
        )
    return tuple(sizes)


def gather_activation(call: Call, x: Value, indices: Array, axis: int) -> Value:
    """Gather's rule for activations: the first token, or one channel of the output."""
    axis %= len(x.shape)
    if axis == 1 and len(x.shape) == 3 and indices.ndim == 0 and int(indices) == 0:
        return FirstToken((x.shape[0], x.shape[2]), call.node.where, x)
    if axis == len(x.shape) - 1 and indices.ndim == 0 and isinstance(unrounded(x)[0], Linear):
        return Column(x.shape[:-1], call.node.where, x, int(indices) % x.shape[-1])
    raise call.node.refuse("selects something else than the first token", UNKNOWN_VIEW)


@rule("Split")
def split(call: Call) -> tuple[Value, ...]:
    x = call.value(0)
    count = len(call.node.outputs)
    axis = call.node.attributes.get("axis", 0) % len(x.shape)
    if not isinstance(unrounded(x)[0], Linear) or axis != len(x.shape) - 1 or count != x.shape[-1]:
        raise call.node.refuse("splits something else than the columns of the output", UNKNOWN_VIEW)
    return tuple(Column((*x.shape[:-1], 1), call.node.where, x, index) for index in range(count))


@rule("Squeeze")
def squeeze(call: Call) -> Value:
    x, axes = call.value(0), call.array(1, "axes")
    if not isinstance(x, Column) or axes is None or [int(axis) % len(x.shape) for axis in axes] != [2]:
        raise call.node.refuse("squeezes something else than a column of the output", UNKNOWN_VIEW)
    return Column(x.shape[:-1], call.node.where, x.x, x.index)


@rule("IsNaN")
def is_nan(call: Call) -> Value:
    x = call.value(0)
    if not isinstance(unrounded(x)[0], Probabilities):
        raise call.node.refuse("looks for NaN elsewhere than in the attention's probabilities", UNKNOWN_VIEW)
    # A row of scores has a token that is kept, so its softmax is a number.
    return Known(x.shape, call.node.where, np.zeros(x.shape, np.bool_), False)
