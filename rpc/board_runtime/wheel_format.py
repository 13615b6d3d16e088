"""Wheels as files: names, members, and always the same bytes for the same members.

Source: the binary distribution format, https://packaging.python.org/en/latest/specifications/binary-distribution-format
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import ToolchainError

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip file can hold."""
_PLAIN_FILE = 0o100644
_UNIX = 3


@dataclass(frozen=True)
class WheelName:
    """The parts of a wheel's file name; ``tags`` are Python, ABI and platform, as in "py3-none-any"."""

    distribution: str
    version: str
    tags: str

    @classmethod
    def parse(cls, name: str) -> WheelName:
        """The inverse of ``str`` (a build number is dropped); ToolchainError for what is no wheel's name."""
        parts = name.removesuffix(".whl").split("-")
        if not name.endswith(".whl") or len(parts) not in (5, 6) or not all(parts):
            raise ToolchainError(f"{name} is not the name of a wheel; remove it and try again")
        return cls(parts[0], parts[1], "-".join(parts[-3:]))

    @property
    def folder(self) -> str:
        """The folder of the wheel's metadata."""
        return f"{self.distribution}-{self.version}.dist-info"

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platform tags."""
        return tuple(self.tags.rpartition("-")[2].split("."))

    def __str__(self) -> str:
        return f"{self.distribution}-{self.version}-{self.tags}.whl"


def wheel_bytes(name: WheelName, members: Mapping[str, bytes]) -> bytes:
    """A wheel of ``members`` (path -> content) and the RECORD of them, which is made here.

    Equal members give equal bytes, as long as the same zlib compresses them.
    """
    record = f"{name.folder}/RECORD"
    everything = {**members, record: _record(members, record)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # Installers read the metadata first and look for it at the end.
        for path in sorted(everything, key=lambda path: (path.startswith(name.folder), path == record, path)):
            member = zipfile.ZipInfo(path, _EARLIEST)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = _UNIX
            member.external_attr = _PLAIN_FILE << 16
            archive.writestr(member, everything[path], compresslevel=9)
    return buffer.getvalue()


def member_names(wheel: Path) -> list[str]:
    """The names of the wheel's files; ToolchainError for a damaged wheel, and for names that lead out of it."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
    except zipfile.BadZipFile as error:
        raise ToolchainError(f"{wheel.name} is damaged ({error}); remove it and try again") from error
    for name in names:
        _require_inside(wheel, name)
    if len(set(names)) != len(names):
        raise ToolchainError(f"{wheel.name} holds a file twice: which one would be installed is unclear; do not use it")
    return names


def read_members(wheel: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The content of these files of the wheel; ToolchainError where one is missing or damaged."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return {name: archive.read(name) for name in names}
    except KeyError as error:
        raise ToolchainError(f"{wheel.name}: {error.args[0]}; this is not the wheel that intbert knows") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ToolchainError(f"{wheel.name} is damaged ({error}); remove it and try again") from error


def _require_inside(wheel: Path, name: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise ToolchainError(f"{wheel.name} holds {name!r}, a name that leads out of it; do not use this wheel")


def _record(members: Mapping[str, bytes], record: str) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path in sorted(members):
        digest = base64.urlsafe_b64encode(hashlib.sha256(members[path]).digest()).decode().rstrip("=")
        rows.writerow([path, f"sha256={digest}", len(members[path])])
    rows.writerow([record, "", ""])
    return text.getvalue().encode()
