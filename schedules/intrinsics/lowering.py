"""For which CPU TVM lowers our intrinsics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_features: ContextVar[frozenset[str]] = ContextVar("features", default=frozenset())


@contextmanager
def lowering_for(features: frozenset[str]) -> Iterator[None]:
    """While it is open, TVM lowers our intrinsics for a CPU with these canonical features."""
    token = _features.set(features)
    try:
        yield
    finally:
        _features.reset(token)


def features_of_the_cpu() -> frozenset[str]:
    """The features that :func:`lowering_for` named; none outside of it."""
    return _features.get()
