"""All the wheels of a board's runtime, ready to be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...compiler.hashing import file_sha256
from . import slim
from .cache import Cache, default_cache
from .download import Index, PipIndex
from .own_wheel import own_wheel
from .platform import BoardPlatform
from .requirements import PACKAGE, PIP, TVM, Wanted, normalized, wanted_packages
from .unsuitable import no_wheel
from .wheel_format import WheelName, member_names

Tell = Callable[[str], None]


@dataclass(frozen=True)
class WheelFile:
    """A wheel of this machine: its file name, where it lies, its SHA-256 (hexadecimal) and its size in bytes."""

    name: str
    path: Path
    sha256: str
    size: int

    @classmethod
    def at(cls, path: Path) -> WheelFile:
        """The wheel at ``path``."""
        return cls(path.name, path, file_sha256(path), path.stat().st_size)

    @property
    def package(self) -> str:
        """The name of the package."""
        return normalized(WheelName.parse(self.name).distribution)

    @property
    def requirement(self) -> str:
        """This wheel and no other, as a line of a pip requirements file."""
        return f"{self.package}=={WheelName.parse(self.name).version} --hash=sha256:{self.sha256}"


@dataclass(frozen=True)
class Wheelhouse:
    """The wheels, sorted by name. ``pip`` is the file name of pip's own, which installs the others:

    ``python -I wheels/PIP/pip install --no-index --no-deps --require-hashes --find-links wheels -r requirements.txt``
    """

    files: tuple[WheelFile, ...]
    pip: str

    def __post_init__(self) -> None:
        if self.pip not in {file.name for file in self.files}:
            raise ValueError(f"{self.pip} is not among the wheels")
        if len({file.package for file in self.files}) != len(self.files):
            raise ValueError("two wheels of the same package")

    @property
    def requirements(self) -> str:
        """The text of pip's requirements file: all but pip, each with its hash, sorted."""
        return "".join(f"{line}\n" for line in sorted(file.requirement for file in self.files if file.name != self.pip))

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of the requirements: equal for equal runtimes."""
        return hashlib.sha256(self.requirements.encode()).hexdigest()


def prepare_wheels(
    platform: BoardPlatform, cache: Path | None = None, tell: Tell | None = None, *, index: Index | None = None
) -> Wheelhouse:
    """The wheels that a board needs to run artifacts and serve sessions, downloaded where they are not at hand.

    A wheel that was chosen once stays chosen while it is in the cache, so the same board gets the same runtime.

    Args:
        cache: the folder that keeps wheels; None: :func:`.cache.default_cache`.
        tell: is called with a line for each wheel that has to be downloaded.
        index: where wheels come from; None: pip's indexes.

    Raises:
        UnsuitableBoardError: a package has no wheel for this Python, architecture or glibc.
        RemoteError: no index is reachable.
        ToolchainError: there is no pip on this machine, intbert is not installed, or a wheel is damaged.
        OutputError: the cache cannot be written.
    """
    kept = Cache(default_cache() if cache is None else cache)
    source = PipIndex() if index is None else index
    wanted = wanted_packages()
    paths = {each.name: kept.wheel(*_downloading(each, platform, source, tell)) for each in wanted}
    name, content = own_wheel(frozenset(paths))
    key = _key(PACKAGE, hashlib.sha256(content).hexdigest())
    own = kept.wheel(key, lambda folder: _written(folder / name, content))
    files = sorted((WheelFile.at(path) for path in (*paths.values(), own)), key=lambda file: file.name)
    return Wheelhouse(tuple(files), paths[PIP].name)


def _downloading(
    wanted: Wanted, platform: BoardPlatform, index: Index, tell: Tell | None
) -> tuple[str, Callable[[Path], Path]]:
    """The key of a package's wheel in the cache, and what makes it."""

    def make(folder: Path) -> Path:
        if tell is not None:
            tell(f"downloading {wanted.choices[0]} for {platform}")
        wheel = _download(wanted, platform, index, folder)
        member_names(wheel)
        return slim.slim(wheel, folder) if wanted.name == TVM else wheel

    rules = slim.RULES if wanted.name == TVM else ""
    return _key(wanted.name, *wanted.choices, str(platform), rules), make


def _download(wanted: Wanted, platform: BoardPlatform, index: Index, folder: Path) -> Path:
    for choice in wanted.choices:
        found = index.download(choice, platform, folder)
        if found is not None:
            return found
    raise no_wheel(index, wanted.choices[-1], platform)


def _key(name: str, *words: str) -> str:
    return f"{name}-{hashlib.sha256(chr(0).join(words).encode()).hexdigest()[:32]}"


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
