"""Float values where rounding breaks first, and the comparison of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from intbert.compiler.kernels import Shape
from intbert.compiler.operators.real.operator import RealOperator
from numpy.typing import NDArray

from ..compiled import HOST, PROCESSORS, Processor, scheduled

Float32Array = NDArray[np.float32]


def cases(*shapes: tuple[Any, ...], everywhere: tuple[Any, ...]) -> Any:
    """``everywhere`` on every processor that this machine can stand in for, the other shapes on this one."""
    lesser = [parameter for parameter in PROCESSORS if parameter.values[0] is not HOST]
    host = [pytest.param(HOST, shape, id=f"{HOST.name}-{shape}") for shape in (*shapes, everywhere)]
    others = [pytest.param(*p.values, everywhere, id=f"{p.id}-{everywhere}", marks=p.marks) for p in lesser]
    return pytest.mark.parametrize(("processor", "shape"), [*host, *others])


def assert_same_bytes(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    """Equal, the signs of zeros included."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert np.isfinite(expected).all()
    bits = np.uint32 if actual.dtype == np.float32 else actual.dtype
    np.testing.assert_array_equal(actual.view(bits), expected.view(bits))


def run(
    processor: Processor, operator: RealOperator, batch: int, length: int, inputs: list[NDArray[Any]]
) -> list[NDArray[Any]]:
    """The outputs of the operator's kernel, 8-bit integers as int64 with memory's offset taken off."""
    zero_point = processor.zero_point
    rows, channels = inputs[0].shape
    shape = Shape(batch, length, rows, channels, zero_point, zero_point, processor.target().features)
    results = scheduled(processor, operator, shape, operator.outputs)(*inputs, *operator.parameters())
    return [as_integers(result, zero_point) for result in results]


def as_integers(result: NDArray[Any], zero_point: int) -> NDArray[Any]:
    """Integers as the oracle has them; floats as they are."""
    if result.dtype in (np.uint8, np.int8):
        return result.astype(np.int64) - zero_point
    return result if result.dtype == np.float32 else result.astype(np.int64)


def draws(seed: int, rows: int, channels: int, scale: float = 1.0) -> Float32Array:
    """Rows of every kind: normal, constant, zero, huge, tiny, one outlier, halves."""
    random = np.random.default_rng(seed)
    values = random.normal(0, scale, (rows, channels)).astype(np.float32)
    values[0::7] = random.normal(0, scale, (len(values[0::7]), channels))
    values[1::7] = np.float32(0.3 * scale)
    values[2::7] = 0
    values[3::7] *= np.float32(1e6)
    values[4::7] *= np.float32(1e-20)
    values[5::7, 0] = np.float32(300 * scale)
    values[6::7] = np.round(values[6::7]) + np.float32(0.5)
    return values
