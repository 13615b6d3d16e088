"""The progress hook: the caller decides how progress is shown; the default shows none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Wraps an iterable and shows how far it got, like ``rich.progress.track``."""

    def __call__(self, iterable: Iterable[T], description: str, total: int) -> Iterable[T]:
        """Yields the items of ``iterable``, of which there are ``total``."""
        ...


def silent(iterable: Iterable[T], description: str, total: int) -> Iterable[T]:
    """Shows nothing."""
    return iterable
