"""intbert's own wheel for a board, made of the files of the package that is running."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from ... import errors
from ...errors import ToolchainError
from .requirements import PACKAGE, declared_requirements
from .wheel_format import WheelName, wheel_bytes

PARTS = ("targets", "schedules", "compiler", "rpc")
"""The folders of the package that a board may import from, whole: 0.2 MB, next to 15 MB of NumPy."""

_TAGS = "py3-none-any"
_LICENCE = "licenses/LICENSE"


def own_wheel(needs: frozenset[str], package: Path | None = None) -> tuple[str, bytes]:
    """File name and content of the wheel.

    Args:
        needs: of what intbert declares to need, the packages that a board has.
        package: the folder of the package; None: of the one that is running.

    Raises:
        ToolchainError: intbert is not installed in this environment, or its files cannot be read.
    """
    root = Path(errors.__file__).parent if package is None else package
    try:
        members = {f"{PACKAGE}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in _sources(root)}
    except OSError as error:
        raise ToolchainError(f"{root}: cannot be read ({error.strerror}); install intbert again") from error
    requirements = [requirement for name, requirement in declared_requirements(PACKAGE) if name in needs]
    distribution = importlib.metadata.distribution(PACKAGE)
    name = WheelName(PACKAGE, distribution.version, _TAGS)
    licence = distribution.read_text(_LICENCE)
    members[f"{name.folder}/METADATA"] = _metadata(name, requirements, licence is not None)
    members[f"{name.folder}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: {PACKAGE} ({name.version})\nRoot-Is-Purelib: true\nTag: {_TAGS}\n".encode()
    )
    if licence is not None:
        members[f"{name.folder}/{_LICENCE}"] = licence.encode()
    return str(name), wheel_bytes(name, members)


def _sources(root: Path) -> Iterator[Path]:
    yield from (path for path in root.iterdir() if _is_source(path))
    for part in PARTS:
        yield from (path for path in (root / part).rglob("*") if _is_source(path))


def _is_source(path: Path) -> bool:
    # The root of a checkout has a pyproject.toml, which is none of the package's files.
    return path.name != "pyproject.toml" and (path.suffix in (".py", ".toml") or path.name == "py.typed")


def _metadata(name: WheelName, requirements: list[str], licensed: bool) -> bytes:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name.distribution}",
        f"Version: {name.version}",
        "Summary: The part of intbert that runs on a board",
        "Requires-Python: >=3.10",
        "License-Expression: Apache-2.0",
        *(["License-File: LICENSE"] if licensed else []),
        *(f"Requires-Dist: {requirement}" for requirement in requirements),
    ]
    return ("\n".join(lines) + "\n").encode()
