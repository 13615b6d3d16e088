"""The tests' virtual board: its userland, and how its wheels are unpacked."""

from collections.abc import Sequence
from pathlib import Path

from peer_bench.errors import BenchmarkError
from peer_bench.repository import ROOT

# isort: split
from tests.devices import wheels
from tests.devices.debian import Source, installed_source
from tests.devices.unavailable import UnavailableError
from tests.devices.userland import Userland, get_userland, python_version

BUILD = ROOT / "build" / "arm"
"""Where the emulator, the peers' wheels and the files of a run lie."""


def debian_source() -> Source:
    """Debian's mirror and release, as this machine's apt has them.

    Raises:
        BenchmarkError: there is no apt, or it knows no mirror.
    """
    try:
        return installed_source()
    except UnavailableError as error:
        raise BenchmarkError(f"QEMU is built from Debian's source: {error}") from error


def userland() -> Userland:
    """The aarch64 userland of the virtual board, made when it is not there.

    Raises:
        BenchmarkError: this machine cannot make one.
    """
    try:
        return get_userland()
    except UnavailableError as error:
        raise BenchmarkError(f"there is no virtual board: {error}") from error


def unpack_wheels(board: Userland, requirements: Sequence[str], work: Path, site: Path) -> None:
    """aarch64 wheels of exactly these requirements, for the board's Python, unpacked into ``site``.

    Raises:
        BenchmarkError: one of them cannot be had.
    """
    try:
        wheels.unpack_wheels(requirements, python_version(board.root), work, site)
    except UnavailableError as error:
        raise BenchmarkError(f"a peer's wheel for the board is missing: {error}") from error
