"""Wheels that were downloaded or made before. Several processes may use a cache at the same time."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ...compiler.hashing import file_sha256
from ...errors import OutputError

CACHE_VARIABLE = "XDG_CACHE_HOME"

_UNFINISHED = "unfinished-"
_ABANDONED_SECONDS = 24 * 60 * 60
"""After this time an unfinished entry belongs to a process that was killed."""

_DIGEST_FILE = "SHA256"


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/intbert/wheels``, by default ``~/.cache/intbert/wheels``."""
    named = Path(os.environ.get(CACHE_VARIABLE, ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "intbert" / "wheels"


@dataclass(frozen=True)
class Cache:
    """A folder with one folder for each entry, which holds a wheel and its SHA-256."""

    folder: Path

    def wheel(self, key: str, make: Callable[[Path], Path]) -> Path:
        """The wheel of the entry ``key``. Where there is none that is whole, ``make`` writes it into an empty folder.

        An entry appears when it is whole: what interrupts ``make`` leaves none. Raises OutputError when the cache
        cannot be written, and whatever ``make`` raises.
        """
        entry = self.folder / key
        with self._writable():
            found = _whole(entry)
            if found is not None:
                return found
            with self._aside() as aside:
                (aside / "making").mkdir()
                return _move(_wrap(make(aside / "making"), aside / "entry"), entry, aside / "damaged")

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(f"{_UNFINISHED}*"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self.folder) as aside:
            yield Path(aside)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot keep wheels there ({error.strerror or error}); "
                f"make room, or name another folder in {CACHE_VARIABLE}"
            ) from error


def _wrap(wheel: Path, entry: Path) -> Path:
    entry.mkdir()
    (entry / _DIGEST_FILE).write_text(file_sha256(wheel), encoding="ascii")
    wheel.rename(entry / wheel.name)
    return entry


def _move(unfinished: Path, entry: Path, damaged: Path) -> Path:
    """Puts a finished entry in its place, unless another process was faster, with the same wheel."""
    try:
        unfinished.rename(entry)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if _whole(entry) is None:
            entry.rename(damaged)
            unfinished.rename(entry)
    found = _whole(entry)
    if found is None:
        raise OSError(errno.EIO, f"{entry.name} was changed while it was made")
    return found


def _whole(entry: Path) -> Path | None:
    """The wheel of an entry whose content is what it was when it was made."""
    wheels = list(entry.glob("*.whl"))
    if len(wheels) != 1:
        return None
    try:
        digest = (entry / _DIGEST_FILE).read_text(encoding="ascii")
        return wheels[0] if file_sha256(wheels[0]) == digest else None
    except (FileNotFoundError, UnicodeDecodeError):
        return None
