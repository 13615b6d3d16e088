"""A Unix socket that only this user can connect to."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import OutputError

_LONGEST = 107
"""Bytes of a path that the kernel takes (unix(7))."""
_BACKLOG = 64


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A listening socket at ``path``, of mode 0600, which is removed when the block ends.

    A socket that a killed server left there is replaced. Raises OutputError when something else is there, when
    somebody serves there, or when no socket can be made.
    """
    if len(os.fsencode(path)) > _LONGEST:
        raise OutputError(f"{path}: a socket's path has at most {_LONGEST} bytes; give a shorter one with --socket")
    try:
        listener = _bound(path)
    except OSError as error:
        raise OutputError(f"{path}: no socket can be made there ({error.strerror}); give another --socket") from error
    ours = path.stat().st_ino
    try:
        with listener:
            yield listener
    finally:
        with suppress(FileNotFoundError):
            if path.lstat().st_ino == ours:
                path.unlink()


def _bound(path: Path) -> socket.socket:
    with _alone(path.parent):
        _remove_abandoned(path)
        listener = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)  # the mode must be right before anybody can connect
        try:
            listener.bind(str(path))
            listener.listen(_BACKLOG)  # still alone: what does not listen is taken for abandoned
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(mask)
        return listener


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps out others of us in this folder: between a look at an old socket and a new one nobody may make another."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OutputError(f"{path} is there and is no socket; remove it, or give another --socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # a queue that is full: somebody is there
    raise OutputError(f"{path}: somebody serves there already; end that server, or give another --socket")
