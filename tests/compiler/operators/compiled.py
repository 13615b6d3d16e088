"""Kernels compiled for this machine, and for lesser ones whose code it runs as well."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import tvm
from intbert.compiler.graph import Operator
from intbert.compiler.kernels import Shape, build_kernel, structure
from intbert.schedules.intrinsics.lowering import lowering_for
from intbert.schedules.linear import activation_zero_point
from intbert.schedules.vectors import int16_lanes, vector_width
from intbert.targets import get_target
from intbert.targets.target import Target
from numpy.typing import NDArray
from tvm import te
from tvm.s_tir import Schedule

Array = NDArray[Any]


@dataclass(frozen=True)
class Processor:
    """A processor that this machine can stand in for: ``features`` None means all that it has."""

    name: str
    arch: str
    cpu: str = ""
    features: frozenset[str] | None = None

    @property
    def zero_point(self) -> int:
        """That of narrow activations in memory."""
        return activation_zero_point(self.target().features)

    def target(self) -> Target:
        host = get_target("host")
        return host if self.features is None else replace(host, cpu=self.cpu, features=self.features)


HOST = Processor("host", get_target("host").arch)

LESSER = (
    Processor("avx512-vnni", "x86_64", "x86-64-v4", frozenset({"avx2", "avx512", "avx512_vnni", "avx512_vbmi"})),
    Processor("avx512", "x86_64", "x86-64-v4", frozenset({"avx2", "avx512"})),
    Processor("avx-vnni", "x86_64", "x86-64-v3", frozenset({"avx2", "avx_vnni"})),
    Processor("avx2", "x86_64", "x86-64-v3", frozenset({"avx2"})),
    Processor("sse2", "x86_64", "x86-64", frozenset()),
    Processor("dotprod", "aarch64", "generic", frozenset({"neon", "dotprod"})),
    Processor("neon", "aarch64", "generic", frozenset({"neon"})),
)


def _parameter(processor: Processor) -> Any:
    host = get_target("host")
    if lacking := sorted((processor.features or frozenset()) - host.features):
        reason = f"this CPU lacks {', '.join(lacking)}"
    elif processor.features == host.features:
        reason = "the same as the host"
    else:
        return pytest.param(processor, id=processor.name)
    return pytest.param(processor, id=processor.name, marks=pytest.mark.skip(reason=reason))


PROCESSORS = [_parameter(processor) for processor in (HOST, *LESSER) if processor.arch == HOST.arch]
every_processor = pytest.mark.parametrize("processor", PROCESSORS)


class Compiled:
    """A compiled PrimFunc: takes its inputs as arrays, returns its last ``outputs`` arguments as arrays."""

    def __init__(self, function: Any, outputs: int, processor: Processor) -> None:
        target = processor.target()
        module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
        with lowering_for(target.features):
            executable = tvm.compile(module, target=target.tvm())
        self._run = executable["main"]
        self._types = [(tuple(int(extent) for extent in buffer.shape), str(buffer.dtype)) for buffer in function.params]
        self._outputs = outputs

    def __call__(self, *inputs: Array) -> list[Array]:
        taken = len(self._types) - self._outputs
        assert len(inputs) == taken
        arguments = [
            tvm.runtime.tensor(in_type(array, dtype)) for array, (_, dtype) in zip(inputs, self._types, strict=False)
        ]
        # Every byte of an output must be written: what it held before may not show.
        results = [tvm.runtime.tensor(np.full(shape, 77, np.dtype(dtype))) for shape, dtype in self._types[taken:]]
        self._run(*arguments, *results)
        return [result.numpy() for result in results]


def in_type(array: Array, dtype: str) -> Array:
    """``array`` as ``dtype``; every value must fit."""
    converted = np.ascontiguousarray(array.astype(dtype))
    assert np.array_equal(converted, array), f"a test's input leaves {dtype}"
    return converted


_compiled: dict[Hashable, Compiled] = {}


def compiled(key: Hashable, processor: Processor, function: Callable[[], Any], outputs: int = 1) -> Compiled:
    """``function()`` compiled for ``processor``; a second time with this ``key`` it is taken from a cache."""
    if (key, processor) not in _compiled:
        _compiled[key, processor] = Compiled(function(), outputs, processor)
    return _compiled[key, processor]


def elementwise(
    processor: Processor, expression: Callable[..., Any], input_dtypes: Sequence[str], scalars: int, size: int
) -> Compiled:
    """The kernel ``expression(*elements, *scalars)``, in vectors as wide as ``processor`` has them.

    Its arguments: an array [size] for every one of ``input_dtypes``, int32 scalars, the result.
    """
    return _elementwise(processor, expression, tuple(input_dtypes), scalars, size)


@cache
def _elementwise(
    processor: Processor, expression: Callable[..., Any], dtypes: tuple[str, ...], scalars: int, size: int
) -> Compiled:
    inputs = [te.placeholder((size,), dtype, name=f"x{i}") for i, dtype in enumerate(dtypes)]
    constants = te.placeholder((max(scalars, 1),), "int32", name="scalars")
    result = te.compute(
        (size,),
        lambda i: expression(*(x(i) for x in inputs), *(constants(k) for k in range(scalars))),
        name="result",
    )
    arguments = [*inputs, *([constants] if scalars else []), result]
    schedule = Schedule(tvm.IRModule({"main": te.create_prim_func(arguments)}))
    (loop,) = schedule.get_loops(schedule.get_sblock("result"))
    _, lane = schedule.split(loop, [None, vector_width(size, int16_lanes(processor.target().features))])
    schedule.vectorize(lane)
    return Compiled(schedule.mod["main"], 1, processor)


def scheduled(processor: Processor, operator: Operator, shape: Shape, outputs: int = 1) -> Compiled:
    """The kernel that the compiler gives ``operator``."""
    key = (structure(operator), shape)
    return compiled(key, processor, lambda: build_kernel(operator, shape).function, outputs)
