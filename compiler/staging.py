"""Writing a folder or a file that appears complete or not at all: write aside, flush to disk, rename."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

# A folder is replaced under --force only when one of these shows that intbert wrote it.
FINETUNING_FILE = "finetuning.json"
OUR_FILES = frozenset({"manifest.json", "quantization.json", FINETUNING_FILE})


def is_disk_full(error: BaseException | None) -> bool:
    """Whether ``error``, or what caused it, is a full disk or an exhausted quota.

    Libraries written in Rust (safetensors) report the number of the system's error only in their message.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            return True
        if any(f"os error {number})" in str(error) for number in _DISK_FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def staged_folder(output: Path, force: bool = False) -> Iterator[Path]:
    """Yields an empty folder beside ``output`` that takes its place when the block ends without an error.

    An existing ``output`` is refused unless ``force``, and even then when intbert did not write it. Whatever
    goes wrong, the folder written aside is removed and an existing ``output`` stays as it was.

    Raises OutputError when ``output`` exists, cannot be written, or the disk is full; other errors pass.
    """
    _refuse_existing_folder(output, force)
    with _staged(output) as staging:
        _as_output_error(output, staging.mkdir)
        yield staging


@contextmanager
def staged_file(output: Path, force: bool = False) -> Iterator[Path]:
    """As :func:`staged_folder`, for one file: yields the path to write it to."""
    if output.is_dir():
        raise OutputError(f"{output} is a folder; give the path of a file")
    if output.exists() and not force:
        raise OutputError(f"{output} exists already; pass --force to replace it, or choose another name")
    with _staged(output) as staging:
        yield staging


def _refuse_existing_folder(output: Path, force: bool) -> None:
    if not os.path.lexists(output):
        return
    if not force:
        raise OutputError(f"{output} exists already; pass --force to replace it, or choose another name")
    if not output.is_dir() or output.is_symlink():
        raise OutputError(f"{output} is not a folder; remove it or choose another name")
    names = {entry.name for entry in output.iterdir()}
    if names and not names & OUR_FILES:
        raise OutputError(f"{output} was not written by intbert, so --force does not replace it; choose another name")


def _as_output_error(output: Path, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        raise _output_error(output, error) from error


def _output_error(output: Path, error: BaseException) -> OutputError:
    if is_disk_full(error):
        return OutputError(f"{output}: the disk is full, nothing was written; free some space and run it again")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(f"{output} cannot be written ({reason}); choose another place")


@contextmanager
def _staged(output: Path) -> Iterator[Path]:
    output = output.absolute()
    staging = output.parent / f".{output.name}.{secrets.token_hex(4)}.partial"
    _as_output_error(output, lambda: output.parent.mkdir(parents=True, exist_ok=True))
    try:
        yield staging
        _flush(staging)
        _move_into_place(staging, output)
    except Exception as error:
        _discard(staging)
        if is_disk_full(error) or (isinstance(error, OSError) and _concerns(error, staging)):
            raise _output_error(output, error) from error
        raise
    except BaseException:  # an interrupt leaves nothing behind either
        _discard(staging)
        raise


def _concerns(error: OSError, staging: Path) -> bool:
    return error.filename is not None and str(error.filename).startswith(str(staging))


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """fsync ``path``, and what it holds: after a power cut the rename must not outlive the data."""
    if path.is_dir():
        for entry in path.iterdir():
            _flush(entry)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(staging: Path, output: Path) -> None:
    if not output.is_dir():
        staging.replace(output)
    else:
        # A folder with entries cannot be replaced by a rename: the old one steps aside first.
        previous = staging.with_suffix(".previous")
        output.rename(previous)
        try:
            staging.rename(output)
        except OSError:
            previous.rename(output)
            raise
        _discard(previous)
    descriptor = os.open(output.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
