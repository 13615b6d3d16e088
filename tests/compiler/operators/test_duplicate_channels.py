"""Duplication of channels: kernel against oracle."""

from __future__ import annotations

import numpy as np
import pytest
from intbert.compiler.kernels import Shape, parameters
from intbert.compiler.operators.duplicate_channels import DuplicateChannels
from intbert.compiler.operators.interval import Interval
from intbert.compiler.operators.value_range import Range

from .compiled import Processor, every_processor, scheduled


@every_processor
@pytest.mark.parametrize(
    ("inputs", "duplicated"), [(64, [63, 0, *[5] * 62]), (20, [19, 3, 3, 0]), (7, [6])], ids=["vectors", "4s", "odd"]
)
def test_kernel(processor: Processor, inputs: int, duplicated: list[int]) -> None:
    zero_point = processor.zero_point
    operator = DuplicateChannels.of("duplicate", inputs, tuple(duplicated), Range(-128, 127, 4))
    x = np.random.default_rng(0).integers(-128, 128, (5, inputs))
    x[0], x[1] = -128, 127
    shape = Shape(1, 5, 5, inputs, zero_point, zero_point, processor.target().features)
    (result,) = scheduled(processor, operator, shape)(x + zero_point, *parameters(operator, shape))
    expected = operator.oracle(x)
    np.testing.assert_array_equal(result.astype(np.int64) - zero_point, expected)
    np.testing.assert_array_equal(expected[:, :inputs], x)
    np.testing.assert_array_equal(expected[:, inputs:], x[:, duplicated])
    assert operator.bounds() == Interval(-128, 127)
