"""Python packages for the board: the wheels of the runtime that boards get, unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

from intbert.errors import IntbertError
from intbert.rpc.board_runtime.download import PipIndex
from intbert.rpc.board_runtime.platform import BoardPlatform
from intbert.rpc.board_runtime.requirements import PIP, wanted_packages

from .unavailable import UnavailableError

SECONDS = 300.0

GLIBC = (2, 36)
"""Debian 12's."""

# The compiler (300 MB), headers and CUDA's runtime have no place on a board.
_LEFT_OUT = (
    "tvm/lib/libtvm_compiler",
    "tvm/lib/libtvm_runtime_cuda",
    "tvm/include/",
    "tvm/3rdparty/",
    "tvm/src/",
)


def runtime_requirements() -> tuple[str, ...]:
    """All that a compiled model needs on a board, each pinned to the version that runs these tests."""
    return tuple(wanted.choices[0] for wanted in wanted_packages() if wanted.name != PIP)


def unpack_wheels(requirements: Sequence[str], python: str, work: Path, site: Path) -> None:
    """Downloads aarch64 wheels for CPython ``python`` ("3.11") and unpacks them into ``site``."""
    major, minor = map(int, python.split("."))
    platform = BoardPlatform((major, minor), "aarch64", GLIBC)
    for number, requirement in enumerate(requirements):
        folder = work / f"wheel-{number}"
        folder.mkdir(parents=True)
        with zipfile.ZipFile(_downloaded(requirement, platform, folder)) as archive:
            archive.extractall(site, [name for name in archive.namelist() if not name.startswith(_LEFT_OUT)])


def _downloaded(requirement: str, platform: BoardPlatform, folder: Path) -> Path:
    try:
        wheel = PipIndex(SECONDS).download(requirement, platform, folder)
    except IntbertError as error:
        raise UnavailableError(str(error)) from error
    if wheel is None:
        raise UnavailableError(f"pip found no wheel of {requirement} for {platform}")
    return wheel
