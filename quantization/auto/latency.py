"""Latency tables: how long a linear takes on a board with weights of so many bits.

A JSON object. A key is the name of a linear (``layers.0.query``), or the shape ``KxN`` of all that read K channels
and compute N (``384x1536``); a name goes before a shape. A value is an object of bits -> milliseconds:

    {"384x384": {"8": 0.021, "4": 0.017}, "384x1536": {"8": 0.080, "4": 0.061}, "1536x384": {"8": 0.078, "4": 0.060}}

Every linear of the encoder needs 8 bits; bits that a linear lacks are not tried for it. The word embeddings are
looked up, which takes as long with any bits: they need no entry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import SchemeError
from .units import WORDS, Unit


class LatencyTable:
    """Milliseconds by linear or shape, and bits."""

    def __init__(self, rows: Mapping[str, Mapping[int, float]], where: str) -> None:
        self._rows = rows
        self._where = where

    def __call__(self, unit: Unit, bits: int) -> float:
        """The milliseconds of the unit's linears; infinite where the table does not know these bits."""
        if unit.name == WORDS:
            return 0.0
        return sum(self._of(name, rows, columns).get(bits, math.inf) for name, rows, columns in unit.tensors)

    def _of(self, name: str, outputs: int, inputs: int) -> Mapping[int, float]:
        shape = f"{inputs}x{outputs}"
        for key in (name, shape):
            if key in self._rows:
                return self._rows[key]
        raise SchemeError(f"{self._where}: no entry for {name}, nor for its shape {shape}")

    def check(self, units: tuple[Unit, ...]) -> None:
        """Raises SchemeError where a linear has no entry, or none for 8 bits."""
        for unit in units:
            if math.isinf(self(unit, 8)):
                raise SchemeError(f"{self._where}: {unit.name} has no latency for 8 bits, where the search begins")


def read_latency_table(path: Path) -> LatencyTable:
    """The table in ``path``; SchemeError that says what is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SchemeError(f"{path}: the latency table cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise SchemeError(f"{path}: the latency table is not JSON ({error})") from None
    if not isinstance(document, dict) or not document:
        raise SchemeError(f'{path}: a latency table is an object such as {{"384x384": {{"8": 0.02, "4": 0.01}}}}')
    return LatencyTable({key: _row(path, key, value) for key, value in document.items()}, str(path))


def _row(path: Path, key: str, value: Any) -> dict[int, float]:
    if not isinstance(value, dict) or not value:
        raise SchemeError(f'{path}: {key} must be an object of bits and milliseconds such as {{"8": 0.02, "4": 0.01}}')
    row = {}
    for bits, milliseconds in value.items():
        if not (bits.isdecimal() and 1 <= int(bits) <= 8):
            raise SchemeError(f"{path}: {key} has a latency for {bits!r} bits; weights have 1 to 8")
        number = isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool)
        if not (number and math.isfinite(milliseconds) and milliseconds > 0):
            raise SchemeError(f"{path}: {key} takes {milliseconds!r} ms with {bits} bits; it must be a positive number")
        row[int(bits)] = float(milliseconds)
    return row
