"""The TVM release that intbert is built for, and whether it is the one installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from ..errors import ToolchainError

PINNED: Mapping[str, str] = MappingProxyType({"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.14.post1"})
"""Distribution -> version. Later releases of apache-tvm-ffi crash this apache-tvm without a Python error."""


def installed_versions() -> dict[str, str | None]:
    """Return the installed version of each distribution in :data:`PINNED`, None when it is missing.

    Reads the distributions' metadata; imports neither.
    """
    return {name: _installed(name) for name in PINNED}


def check_versions() -> None:
    """Raise ToolchainError, with the command that mends it, unless the pinned versions are installed."""
    wrong = [
        f"{name} is {'not installed' if found is None else found}"
        for name, found in installed_versions().items()
        if found != PINNED[name]
    ]
    if wrong:
        raise ToolchainError(f"{' and '.join(wrong)}; run `{mend_command()}`")


def mend_command() -> str:
    """Return the pip command that installs the pinned versions."""
    return "pip install " + " ".join(f"{name}=={pinned}" for name, pinned in PINNED.items())


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
