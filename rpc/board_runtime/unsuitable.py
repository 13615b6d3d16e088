"""Why there is no wheel for a board, and for which boards there is one."""

from __future__ import annotations

import re
from dataclasses import replace

from ...errors import IntbertError, RemoteError, UnsuitableBoardError
from .download import Index
from .platform import OLDEST_GLIBC, BoardPlatform, dotted
from .wheel_format import WheelName

_NEWEST_GLIBC = (2, 60)
"""Newer than any that a wheel needs."""
_PYTHONS = tuple((3, minor) for minor in range(10, 16))


def no_wheel(index: Index, requirement: str, platform: BoardPlatform) -> IntbertError:
    """The error to raise when the index has no wheel of ``requirement`` for ``platform``.

    RemoteError when it has none for any other platform either: then it is not the board that is unsuitable.
    """
    lenient = replace(platform, glibc=_NEWEST_GLIBC)
    found = index.find(requirement, lenient)
    if found is not None:
        return UnsuitableBoardError(
            f"the board has glibc {dotted(platform.glibc)}, but {requirement} needs {dotted(needed_glibc(found))} or "
            f"later ({found}); install a newer system on it"
        )
    pythons = [python for python in _PYTHONS if index.find(requirement, replace(lenient, python=python)) is not None]
    if pythons:
        return UnsuitableBoardError(
            f"{requirement} has no wheel for Python {dotted(platform.python)} on {platform.arch}, only for "
            f"{', '.join(map(dotted, pythons))}; install one of these on the board"
        )
    return RemoteError(
        f"pip finds no wheel of {requirement} for any Python on {platform.arch}; "
        "look at `pip config list`: does its index have this package?"
    )


def needed_glibc(wheel: str) -> tuple[int, int]:
    """The oldest glibc on which a wheel of this file name runs."""
    tags = [re.match(r"manylinux_(\d+)_(\d+)_", tag) for tag in WheelName.parse(wheel).platforms]
    return min(((int(tag[1]), int(tag[2])) for tag in tags if tag is not None), default=OLDEST_GLIBC)
