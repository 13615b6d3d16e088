"""A device: a board under a name of the user's, and what is remembered of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from ...errors import DeviceError, IntbertError
from ..probing import BoardFacts
from .address import Address

SCHEMA = 1
"""The version of a device's file."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Device:
    """``target``: the preset that the board is compiled for, and ``reason`` why this one. ``runtime``: which wheels are
    installed there (:attr:`.board_runtime.Wheelhouse.digest`), None before the first installation."""

    name: str
    address: Address
    facts: BoardFacts
    target: str
    reason: str
    runtime: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.runtime is not None and not _DIGEST.fullmatch(self.runtime):
            raise DeviceError(f"device {self.name}: the runtime {self.runtime!r} is no digest; add the device again")

    def with_runtime(self, digest: str) -> Device:
        """The device once the runtime ``digest`` is installed on it."""
        return replace(self, runtime=digest)

    def to_json(self) -> str:
        """The text of the device's file."""
        document = {
            "schema": SCHEMA,
            "name": self.name,
            "address": str(self.address),
            "target": self.target,
            "reason": self.reason,
            "runtime": self.runtime,
            "facts": self.facts.to_json(),
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Device:
        """The inverse of :meth:`to_json`; DeviceError for what it would not write."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise DeviceError(f"no JSON ({error})") from None
        if not isinstance(document, dict):
            raise DeviceError("no JSON object")
        if document.get("schema") != SCHEMA:
            raise DeviceError(f"schema {document.get('schema')!r}; this intbert reads {SCHEMA}")
        values = {key: _text(document, key) for key in ("name", "address", "target", "reason")}
        runtime = document.get("runtime")
        if runtime is not None and not isinstance(runtime, str):
            raise DeviceError(f"runtime is {runtime!r}; expected a string or null")
        try:
            return cls(
                name=values["name"],
                address=Address.parse(values["address"]),
                facts=BoardFacts.from_json(document.get("facts")),
                target=values["target"],
                reason=values["reason"],
                runtime=runtime,
            )
        except DeviceError:
            raise
        except (IntbertError, TypeError, ValueError, KeyError) as error:
            raise DeviceError(f"facts: {error}") from None


def check_name(name: str) -> str:
    """``name``; DeviceError when no device can be called so."""
    if not _NAME.fullmatch(name):
        raise DeviceError(f"no device can be called {name!r}; use lower-case letters, digits, '.', '_' and '-'")
    return name


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise DeviceError(f"{key} is {value!r}; expected a string")
    return value
