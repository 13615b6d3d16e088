"""Targets by name: the presets that come with intbert, the user's own, and the host.

The user's presets are read from the file that the environment variable ``INTBERT_TARGETS`` names, else
from ``$XDG_CONFIG_HOME/intbert/targets.toml`` (``~/.config/intbert/targets.toml`` when that is not set).
One of them with the name of a preset that comes with intbert replaces it.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import TargetError
from .cuda import Cuda, parse_release
from .host import HOST, probe_host
from .target import Target

PRESETS_FILE = Path(__file__).with_name("presets.toml")
PRESETS_VARIABLE = "INTBERT_TARGETS"

_INHERITS = "inherits"
_LISTS = {"features": frozenset, "attributes": tuple, "models": tuple}
_INTEGERS = frozenset({"cores", "memory_mb"})
_CUDA = "cuda"
_CUDA_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "sm": int,
    "multiprocessors": int,
    "clock_mhz": int,
    "bandwidth_gbs": (int, float),
}
_DRIVER = "driver"
_KEYS = frozenset(field.name for field in fields(Target)) - {"name"} | {_INHERITS}
_REQUIRED = ("description", "arch", "cpu")


def user_presets_file() -> Path:
    """Return where the user's presets are read from by default; the file need not exist."""
    named = os.environ.get(PRESETS_VARIABLE)
    if named:
        return Path(named)
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "intbert" / "targets.toml"


def get_target(name: str, presets: Path | None = None) -> Target:
    """Return the target called ``name``; ``host`` is this machine, probed.

    ``presets`` is a TOML file of the user's own targets, in place of the default one. Raises TargetError,
    naming near names, when there is no such target, and when a presets file is invalid.
    """
    if name == HOST:
        return probe_host()
    tables = _tables(presets)
    if name not in tables:
        known = [HOST, *tables]
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known targets: {', '.join(known)}"
        raise TargetError(f"there is no target {name!r}; {hint} (`intbert targets` lists them)")
    return _build(name, tables)


def list_targets(presets: Path | None = None) -> list[Target]:
    """Return every target: the host first, then the presets in the order of their files."""
    return [probe_host(), *list_presets(presets)]


def list_presets(presets: Path | None = None) -> list[Target]:
    """Return every target but the host, in the order of their files; any machine can, whatever it is itself."""
    tables = _tables(presets)
    return [_build(name, tables) for name in tables]


# A table of a presets file, with the file that it came from for error messages.
_Tables = Mapping[str, tuple[dict[str, Any], Path]]


def _tables(presets: Path | None) -> _Tables:
    tables = {name: (table, PRESETS_FILE) for name, table in _read(PRESETS_FILE).items()}
    user = presets if presets is not None else user_presets_file()
    # A file that somebody named has to be there; the default one does not.
    if presets is not None or os.environ.get(PRESETS_VARIABLE) or user.exists():
        tables.update({name: (table, user) for name, table in _read(user).items()})
    return tables


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetError(f"{path}: cannot read the presets: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TargetError(f"{path}: not a TOML file: {error}") from error
    for name, table in document.items():
        _check(path, name, table)
    return document


def _check(path: Path, name: str, table: Any) -> None:
    """Check names and types; Target checks the values."""
    if name == HOST:
        raise TargetError(f"{path}: {HOST!r} always is the probed machine; choose another name")
    if not isinstance(table, dict):
        raise TargetError(f"{path}: {name!r} is not a table; write each target as [{name}]")
    for key, value in table.items():
        if key not in _KEYS:
            raise TargetError(f"{path}: [{name}] has an unknown key {key!r}; known: {', '.join(sorted(_KEYS))}")
        if key in _LISTS:
            good = isinstance(value, list) and all(isinstance(item, str) for item in value)
            expected = "a list of strings"
        elif key in _INTEGERS:
            good = isinstance(value, int) and not isinstance(value, bool)
            expected = "an integer"
        elif key == _CUDA:
            good = _is_cuda(value)
            expected = f'a table of the numbers {", ".join(_CUDA_KEYS)}, and perhaps {_DRIVER} = "12.6"'
        else:
            good, expected = isinstance(value, str), "a string"
        if not good:
            raise TargetError(f"{path}: [{name}] {key} is {value!r}; expected {expected}")


def _is_cuda(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) - {_DRIVER} == set(_CUDA_KEYS)
        and isinstance(value.get(_DRIVER, ""), str)
        and all(isinstance(value[key], kind) and not isinstance(value[key], bool) for key, kind in _CUDA_KEYS.items())
    )


def _build(name: str, tables: _Tables) -> Target:
    values = _resolve(name, tables, ())
    path = tables[name][1]
    missing = [key for key in _REQUIRED if key not in values]
    if missing:
        raise TargetError(f"{path}: [{name}] lacks {', '.join(missing)}")
    values.setdefault("triple", f"{values['arch']}-linux-gnu")
    for key, kind in _LISTS.items():
        values[key] = kind(values.get(key, ()))
    try:
        if _CUDA in values:
            values[_CUDA] = _gpu(values[_CUDA])
        return Target(name=name, **values)
    except TargetError as error:
        raise TargetError(f"{path}: {error}") from error


def _gpu(table: Mapping[str, Any]) -> Cuda:
    numbers = {key: table[key] for key in _CUDA_KEYS}
    return Cuda(**numbers, driver=parse_release(table[_DRIVER]) if _DRIVER in table else None)


def _resolve(name: str, tables: _Tables, children: tuple[str, ...]) -> dict[str, Any]:
    """Return the table's values, with those that it inherits."""
    table, path = tables[name]
    values = dict(table)
    parent = values.pop(_INHERITS, None)
    if parent is None:
        return values
    chain = (*children, name)
    if parent in chain:
        raise TargetError(f"{path}: [{chain[0]}] inherits from itself: {' -> '.join((*chain, parent))}")
    if parent not in tables:
        near = difflib.get_close_matches(parent, tables, n=3, cutoff=0.5)
        raise TargetError(
            f"{path}: [{name}] inherits from {parent!r}, which does not exist"
            + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    return {**_resolve(parent, tables, chain), **values}
