"""What the output of a model's head stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Output


def to_float(output: Output, integers: NDArray[Any]) -> NDArray[np.float32]:
    """``integers * scale``, [..., channels]; of unit length where ``output`` is normalized.

    A mixed model's output is float32 already; only its length is divided out.
    """
    if np.issubdtype(integers.dtype, np.floating):
        return _unit(integers) if output.normalize else integers.astype(np.float32, copy=False)
    if output.normalize:
        wide = integers.astype(np.int64)
        # The squares are summed as integers: exact, whatever order NumPy takes on this processor.
        length = np.sqrt(np.sum(wide * wide, axis=-1, keepdims=True).astype(np.float64))
        return (wide / np.maximum(length, 1)).astype(np.float32)
    return (integers * np.asarray(output.scale)).astype(np.float32)


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    wide = values.astype(np.float64)
    # A running sum, whose order is the same on every processor; np.sum's is not.
    length = np.sqrt(np.cumsum(wide * wide, axis=-1)[..., -1:])
    return (wide / np.where(length > 0, length, 1.0)).astype(np.float32)
