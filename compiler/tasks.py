"""The kernels of a model as tasks for a tuner: what each computes, how often it is called, and what it must return.

The operands are those of an inference: the oracle computes every value of the model, and what it says an operator
returns is what every candidate for its kernel must return, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..targets.cuda import Cuda
from .artifact import Bucket
from .graph import Step
from .kernels import Alternative, alternatives, parameters, structure
from .lowering import lower
from .model import QuantizedModel
from .oracle import interpret
from .relax import kernel_name, step_shape

SEED = 2718
PADDING = 0.125
"""The share of a row's tokens that is masked out, so that the mask's effect is part of what is checked."""


@dataclass(frozen=True)
class Task:
    """A kernel of a model: the same operator, structure and shape, wherever it is called.

    ``operator``: its kind, as profiles call it; ``shape``: in words; ``calls``: in one inference of every bucket;
    ``alternatives``: the strategies that can run it, the preferred first. ``inputs``, ``constants`` and ``outputs``
    are those of its first call; ``zero_point`` is what memory adds to inputs of 8 bits, ``output_zero_point`` to
    outputs.
    """

    operator: str
    shape: str
    calls: int
    alternatives: tuple[Alternative, ...]
    inputs: tuple[NDArray[Any], ...]
    constants: tuple[NDArray[Any], ...]
    outputs: tuple[NDArray[Any], ...]
    zero_point: int
    output_zero_point: int

    def arguments(self, alternative: Alternative) -> list[NDArray[Any]]:
        """The arguments of the alternative's kernel, the outputs zeros."""
        leading = alternative.leading_inputs
        values = [*self.inputs[:leading], *self.constants, *self.inputs[leading:]]
        buffers = _buffers(alternative)
        stored = [_stored(value, buffer, self.zero_point) for value, buffer in zip(values, buffers, strict=False)]
        zeros = [np.zeros(shape, dtype) for shape, dtype in buffers[-len(self.outputs) :]]
        assert len(stored) + len(zeros) == len(buffers), "the kernel has other arguments than its operator"
        return [*stored, *zeros]

    def expected_sha256(self, alternative: Alternative) -> str:
        """SHA-256 (hexadecimal) of the bytes of all outputs, by the oracle."""
        digest = hashlib.sha256()
        buffers = _buffers(alternative)[-len(self.outputs) :]
        for value, buffer in zip(self.outputs, buffers, strict=True):
            digest.update(_stored(value, buffer, self.output_zero_point).data)
        return digest.hexdigest()


def tasks_of(
    model: QuantizedModel, buckets: Sequence[Bucket], features: frozenset[str], gpu: Cuda | None = None
) -> tuple[Task, ...]:
    """The tasks of ``model`` compiled for ``buckets`` on a CPU with these features, or on ``gpu``, in the order of
    first calls."""
    graph = lower(model)
    found: dict[Any, Task] = {}
    for bucket in buckets:
        values = interpret(graph, *_sample_inputs(model.architecture.vocabulary, bucket))
        for step in graph.steps:
            rows, channels = values[step.inputs[0]].shape
            shape = step_shape(graph, step, bucket, rows, channels, features, gpu)
            key = (structure(step.operator), shape)
            if key in found:
                found[key] = replace(found[key], calls=found[key].calls + 1)
            else:
                found[key] = _task(step, shape, values)
    return tuple(found.values())


def _task(step: Step, shape: Any, values: dict[str, NDArray[Any]]) -> Task:
    ways = alternatives(step.operator, shape)
    return Task(
        operator=kernel_name(step),
        shape=ways[0].words.removeprefix(kernel_name(step).replace("_", " ")).strip(),
        calls=1,
        alternatives=ways,
        inputs=tuple(values[name] for name in step.inputs),
        constants=tuple(parameters(step.operator, shape)),
        outputs=tuple(values[name] for name in step.outputs),
        zero_point=shape.zero_point,
        output_zero_point=shape.output_zero_point,
    )


def _buffers(alternative: Alternative) -> list[tuple[tuple[int, ...], str]]:
    buffers = alternative.kernel.params
    return [(tuple(int(extent) for extent in buffer.shape), str(buffer.dtype)) for buffer in buffers]


def _stored(value: NDArray[Any], buffer: tuple[tuple[int, ...], str], zero_point: int) -> NDArray[Any]:
    """The oracle's ``value`` as memory holds it."""
    shape, dtype = buffer
    offset = zero_point if dtype == "uint8" and value.dtype != np.uint8 else 0
    return np.ascontiguousarray((value + offset if offset else value).astype(dtype).reshape(shape))


def _sample_inputs(vocabulary: int, bucket: Bucket) -> Iterator[NDArray[np.int64]]:
    """Token ids, mask and types, always the same."""
    rng = np.random.default_rng(SEED)
    size = (bucket.batch, bucket.length)
    yield rng.integers(0, vocabulary, size)
    mask = np.ones(size, np.int64)
    mask[:, bucket.length - int(PADDING * bucket.length) :] = 0
    yield mask
    yield np.zeros(size, np.int64)
