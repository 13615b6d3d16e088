"""Where a tuning log is: a file, or a database on a server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ...errors import TuningLogError

if TYPE_CHECKING:
    from sqlalchemy import URL

_EXPECTED = "give the path of a file, sqlite:///FILE, or postgresql://USER@HOST/DATABASE"
_SECRETS = (
    (re.compile(r"([?&](?:password|sslpassword)=)[^&]*"), r"\1***"),
    (re.compile(r"(://[^:/?#]*):.*@"), r"\1:***@"),  # up to the last @: a password may hold one
)


@dataclass(frozen=True)
class FileAddress:
    """A log in an SQLite file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class ServerAddress:
    """A log in a PostgreSQL database. As text it has no password."""

    url: URL = field(repr=False)
    shown: str

    def __str__(self) -> str:
        return self.shown


def parse(url: str | Path) -> FileAddress | ServerAddress:
    """The address that a path, or a URL, means. TuningLogError, which shows no password, when it means none."""
    text = str(url)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _file(text, text)
    if scheme == "sqlite" and rest.startswith("/") and "?" not in rest:
        return _file(unquote(rest[1:]), text)
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        return _server(f"postgresql+psycopg://{rest}", without_password(text))
    raise TuningLogError(f"{without_password(text)} is no URL of a tuning log; {_EXPECTED}")


def without_password(text: str) -> str:
    """The URL ``text``, also one that makes no sense, with *** where a password may stand."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _file(path: str, text: str) -> FileAddress:
    if path in ("", ":memory:") or "\0" in path:
        raise TuningLogError(f"{text!r} names no file for a tuning log; {_EXPECTED}")
    return FileAddress(Path(path).absolute())


def _server(url: str, shown: str) -> ServerAddress:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The reason would quote what may be a part of the password.
        hint = "characters such as @ : / in a password are written as %40 %3A %2F"
        raise TuningLogError(f"{shown} is no URL of a tuning log; {_EXPECTED}; {hint}") from None
    if not parsed.database:
        raise TuningLogError(f"{shown} names no database; {_EXPECTED}")
    return ServerAddress(parsed, shown)
