"""What the integers of a model's head stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifact import Output


def to_float(output: Output, integers: NDArray[Any]) -> NDArray[np.float32]:
    """``integers * scale``, [..., channels]; of unit length where ``output`` is normalized."""
    if output.normalize:
        wide = integers.astype(np.int64)
        # The squares are summed as integers: exact, whatever order NumPy takes on this processor.
        length = np.sqrt(np.sum(wide * wide, axis=-1, keepdims=True).astype(np.float64))
        return (wide / np.maximum(length, 1)).astype(np.float32)
    return (integers * np.asarray(output.scale)).astype(np.float32)
