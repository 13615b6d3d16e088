"""The weights, as the library holds them: for a CPU views of its read-only data, nothing copied.

Linux maps the file, so a row of the embedding table that no input asks for never takes memory.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ArtifactError
from ..artifact import WEIGHTS_SYMBOL, WeightRecord
from .devices import Device
from .library import tvm_runtime


def mapped_weights(library: Path, records: Sequence[WeightRecord], device: Device) -> Any:
    """The tensors of ``records`` in the data symbol of the loaded ``library``, as one tuple on ``device``."""
    ffi = tvm_runtime()
    if not records:
        return ffi.convert(())
    end = max(record.offset + _bytes(record) for record in records)
    try:
        symbol = (ctypes.c_uint8 * end).in_dll(ctypes.CDLL(str(library)), WEIGHTS_SYMBOL)
    except ValueError as error:
        raise ArtifactError(f"{library}: no weights in it ({error}); compile the model again") from error
    # Through a ctypes buffer because NumPy does not export arrays that it knows to be read-only.
    blob = np.frombuffer(memoryview(symbol), dtype=np.uint8)
    views = []
    for record in records:
        part = blob[record.offset : record.offset + _bytes(record)]
        view = part.view(record.dtype).reshape(record.shape)
        try:
            views.append(device.resident(view))
        except ValueError as error:
            raise ArtifactError(f"{library}: weight {record.name}: {error}; compile the model again") from error
    return ffi.convert(tuple(views))


def _bytes(record: WeightRecord) -> int:
    return math.prod(record.shape) * np.dtype(record.dtype).itemsize
