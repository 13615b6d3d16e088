"""Regions of buffers in TIR."""

from __future__ import annotations

from typing import Any


def whole(buffer: Any) -> Any:
    """TIR: the region of all its elements."""
    return buffer[tuple(slice(0, extent) for extent in buffer.shape)]
