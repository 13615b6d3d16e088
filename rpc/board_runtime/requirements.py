"""Which packages a board gets, and in which versions."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import ToolchainError
from ...targets.versions import PINNED

PACKAGE = "intbert"
TVM = "apache-tvm"
_FFI = "apache-tvm-ffi"

_DECLARED_BY = {"numpy": PACKAGE, "tokenizers": PACKAGE, "typing-extensions": _FFI}
"""What is not pinned -> the package whose requirement says which versions of it will do."""

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*\(?(?P<versions>[^;()]*)\)?\s*;?(?P<marker>.*)")


@dataclass(frozen=True)
class Wanted:
    """A package with what to ask an index for until there is a wheel: "numpy==2.4.6", then "numpy>=1.26"."""

    name: str
    choices: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.choices or not all(choice.startswith(self.name) for choice in self.choices):
            raise ValueError(f"{self.name} cannot be had by {self.choices}")


PIP = "pip"


def wanted_packages() -> tuple[Wanted, ...]:
    """The packages to download: the pinned pair; of the others, this environment's version where it has a wheel.

    Raises ToolchainError when intbert or apache-tvm-ffi is not installed here, so that nothing is declared.
    """
    declared = {name: _declared(name, by) for name, by in _DECLARED_BY.items()}
    others = [Wanted(name, _choices(name, found)) for name, found in declared.items() if found is not None]
    # The largest download last: what makes a board unsuitable is found before it.
    return (
        _pinned(_FFI),
        *others,
        Wanted(PIP, _choices(PIP, PIP)),
        _pinned(TVM),
    )


def normalized(name: str) -> str:
    """A package's name as indexes and requirements files have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_version(name: str) -> str | None:
    """The version in this environment, None where the package is not in it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def declared_requirements(package: str) -> Iterator[tuple[str, str]]:
    """Name and requirement ("numpy>=1.26") of what ``package`` always needs; ToolchainError if it is not installed."""
    try:
        lines = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise ToolchainError(
            f"{package} is not installed in this environment, so what a board needs of it is unknown; "
            f"run `pip install {package}`"
        ) from None
    for line in lines:
        found = _REQUIREMENT.fullmatch(line.strip())
        if found is not None and not found["marker"].strip():
            name = normalized(found["name"])
            yield name, name + found["versions"].replace(" ", "")


def _pinned(name: str) -> Wanted:
    return Wanted(name, (f"{name}=={PINNED[name]}",))


def _declared(name: str, by: str) -> str | None:
    return dict(declared_requirements(by)).get(name)


def _choices(name: str, declared: str) -> tuple[str, ...]:
    version = installed_version(name)
    return (declared,) if version is None else (f"{name}=={version}", declared)
