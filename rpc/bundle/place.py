"""A folder that appears when it is whole, or not at all. Runs on the board."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import OutputError
from .order import BUNDLE_FILE, FORMAT

_TOKEN_BYTES = 8


def refuse_existing(folder: Path, replace: bool) -> None:
    """OutputError when something is at ``folder`` that must not be replaced: only a bundle may, and only on request."""
    if not os.path.lexists(folder):
        return
    if not is_bundle(folder):
        raise OutputError(f"{folder} exists already and is no bundle of intbert's; choose another --to")
    if not replace:
        raise OutputError(f"{folder} is a bundle already; pass --force to replace it, or choose another --to")


def is_bundle(folder: Path) -> bool:
    """Whether ``folder`` is a folder, and no link, that intbert made."""
    try:
        document = json.loads((folder / BUNDLE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not folder.is_symlink() and isinstance(document, dict) and document.get("format") == FORMAT


@contextmanager
def staged(folder: Path, replace: bool) -> Iterator[Path]:
    """Yields an empty folder that becomes ``folder`` when the block ends without an error.

    It is made beside ``folder``; whatever goes wrong, it is removed, and what was at ``folder`` stays there. What
    a process that was killed left is removed too. Raises what :func:`refuse_existing` raises, and OSError.
    """
    refuse_existing(folder, replace)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    aside = folder.with_name(f"{folder.name}.partial-{secrets.token_hex(_TOKEN_BYTES)}")
    aside.mkdir()
    with _locked(aside):
        try:
            made = aside / "made"
            made.mkdir()
            yield made
            os.sync()  # after a power cut the new name must not be there without the content
            refuse_existing(folder, replace)
            _move(made, folder, aside / "replaced")
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _move(made: Path, folder: Path, replaced: Path) -> None:
    if not folder.exists():
        made.rename(folder)
        return
    folder.rename(replaced)
    try:
        made.rename(folder)
    except BaseException:
        replaced.rename(folder)
        raise


@contextmanager
def _locked(aside: Path) -> Iterator[bool]:
    """Holds the folder's lock for the block, as a sign of life; yields whether it could be had."""
    descriptor = os.open(aside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    pattern = re.compile(rf"{re.escape(folder.name)}\.partial-[0-9a-f]{{{2 * _TOKEN_BYTES}}}")
    for path in folder.parent.iterdir():
        if pattern.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            with _locked(path) as abandoned:
                if abandoned:
                    shutil.rmtree(path, ignore_errors=True)
