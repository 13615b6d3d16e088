"""What a host wants a board to put into a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import RemoteError

BUNDLE_FILE = "bundle.json"
FORMAT = "intbert bundle"
"""Under "format" in that file: what has it was made by intbert, and may be replaced by it."""

PROGRAMS = ("run", "serve")
_TAKEN = frozenset({"artifact", "runtime", BUNDLE_FILE})


@dataclass(frozen=True)
class Order:
    """``folder``: where the bundle goes, absolute. ``store``: where the board keeps the artifact's files.

    ``artifact``: SHA-256 (hexadecimal) of each file by its name. ``document``: what ``bundle.json`` says; the board
    adds the versions of the packages. ``texts``: the bundle's other files, name -> content. ``replace``: whether a
    bundle that is there already may be replaced.
    """

    folder: str
    store: str
    artifact: Mapping[str, str]
    document: Mapping[str, Any]
    texts: Mapping[str, str]
    replace: bool = False

    def __post_init__(self) -> None:
        for path in (self.folder, self.store):
            if not path.startswith("/"):
                raise RemoteError(f"{path!r} is no absolute path; update intbert on this machine and on the board")
        for name in (*self.artifact, *self.texts):
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise RemoteError(f"{name!r} is no plain file name; compile the artifact again")
        if _TAKEN & self.texts.keys():
            raise RemoteError(f"{', '.join(sorted(_TAKEN))} are made on the board; update intbert on this machine")

    def to_json(self) -> str:
        """For :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        """The inverse of :meth:`to_json`."""
        return cls(**json.loads(text))
