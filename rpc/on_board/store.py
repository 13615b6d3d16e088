"""Files kept on a board under the hash of what is in them, so that nothing is sent twice. Runs on the board."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ...compiler.artifact import file_sha256
from ...errors import RemoteError

LIMIT_BYTES = 1 << 30
"""What a store may hold; beyond it the files that were not used for the longest time go."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".partial"


class Store:
    """Files by their SHA-256, in ``folder``. Not for two processes at once: the board's lease sees to that."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those of ``digests`` that are not here."""
        return [digest for digest in digests if not self._path(digest).exists()]

    def write(self, digest: str, offset: int, data: bytes) -> None:
        """Writes a part of a file that is on its way; offset 0 starts it anew. RemoteError when the disk is full."""
        path = self._path(digest).with_suffix(_PARTIAL)
        try:
            with path.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                file.write(data)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise RemoteError(f"cannot write to {self.folder}: {error.strerror}; make room on the board") from error

    def commit(self, digest: str) -> None:
        """Makes a file that has come whole one of the store's; RemoteError when it is not what was announced."""
        path = self._path(digest)
        partial = path.with_suffix(_PARTIAL)
        if not partial.exists() or file_sha256(partial) != digest:
            partial.unlink(missing_ok=True)
            raise RemoteError(f"the file {digest[:12]} arrived damaged; send it again")
        partial.rename(path)
        self._prune(keep=path)

    def place(self, digest: str, at: Path) -> None:
        """Puts the file at the path ``at`` too: a second name for it, or a copy on another file system."""
        path = self._path(digest)
        if not path.exists():
            raise RemoteError(f"the file {digest[:12]} is not on the board any more; send it again")
        os.utime(path)
        at.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, at)
        except OSError:
            shutil.copyfile(path, at)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise RemoteError(f"{digest!r} is no SHA-256; update intbert on this machine and on the board")
        return self.folder / digest

    def _prune(self, keep: Path) -> None:
        files = sorted(((path, path.stat()) for path in self.folder.iterdir()), key=lambda item: item[1].st_mtime)
        total = sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if total <= self.limit_bytes:
                return
            if path != keep:
                path.unlink()
                total -= stat.st_size
