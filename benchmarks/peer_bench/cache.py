"""Prepared models on disk, each under a key of everything that went into it."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path


def digest(files: Iterable[Path], *words: str) -> str:
    """A short key of the files' contents and of further words (versions, other keys)."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(str(file).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    for word in words:
        total.update(word.encode() + b"\0")
    return total.hexdigest()[:16]


def cached_folder(cache: Path, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name-key``, made by ``make(empty folder)`` when it is not there yet.

    It is made aside and renamed, so an interrupted preparation is never taken for a finished one; folders of
    the same name with other keys are outdated and removed. Of two processes that need it one makes it, the other waits.
    """
    folder = cache / f"{name}-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _make(cache, name, key, make)
    return folder


def _make(cache: Path, name: str, key: str, make: Callable[[Path], None]) -> None:
    for outdated in cache.glob(f"{name}-{'[0-9a-f]' * len(key)}*"):
        shutil.rmtree(outdated)
    aside = cache / f"{name}-{key}.partial"
    aside.mkdir()
    try:
        make(aside)
        aside.rename(cache / f"{name}-{key}")
    finally:
        shutil.rmtree(aside, ignore_errors=True)
