"""What decides which wheels run on a board."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UnsuitableBoardError

OLDEST_PYTHON = (3, 10)
OLDEST_GLIBC = (2, 17)
"""That of the oldest manylinux on which anything of the runtime is still built (manylinux2014)."""

ARCHITECTURES = ("aarch64", "x86_64")


@dataclass(frozen=True)
class BoardPlatform:
    """A board's CPython (major, minor), its architecture as ``uname -m`` names it, and its glibc (major, minor).

    Raises UnsuitableBoardError for what no wheel of the runtime can be for.
    """

    python: tuple[int, int]
    arch: str
    glibc: tuple[int, int]

    def __post_init__(self) -> None:
        if self.arch not in ARCHITECTURES:
            raise UnsuitableBoardError(
                f"the board's system is {self.arch}, the runtime is for {' and '.join(ARCHITECTURES)}; "
                "install a 64-bit system on it"
            )
        if not OLDEST_PYTHON <= self.python < (4,):
            raise UnsuitableBoardError(
                f"the board has Python {dotted(self.python)}, the runtime needs {dotted(OLDEST_PYTHON)} or later; "
                "install a newer one beside it"
            )
        if not OLDEST_GLIBC <= self.glibc < (3,):
            raise UnsuitableBoardError(
                f"the board has glibc {dotted(self.glibc)}, the runtime needs {dotted(OLDEST_GLIBC)} or later; "
                "install a newer system on it"
            )

    def tags(self) -> tuple[str, ...]:
        """The platform tags of wheels that run there, the newest first (PEP 600; ``manylinux2014``: PEP 599)."""
        minors = range(self.glibc[1], OLDEST_GLIBC[1] - 1, -1)
        return (*(f"manylinux_2_{minor}_{self.arch}" for minor in minors), f"manylinux2014_{self.arch}")

    def __str__(self) -> str:
        return f"Python {dotted(self.python)} on {self.arch} with glibc {dotted(self.glibc)}"


def dotted(version: tuple[int, ...]) -> str:
    """``(3, 11)`` as "3.11"."""
    return ".".join(map(str, version))
