"""A tuning log as text, to keep and to exchange: one JSON document a line, compressed where the name ends in ``.gz``.

A line is a record, or a workload's IR. The IR stands once, before the first record of the workload; a record names its
workload by hash and has all the rest, so that lines can be picked with grep. Whoever picks keeps the lines with
``"ir"`` too, unless the log that they are meant for knows the workloads.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import OutputError, TuningLogError
from .filter import EVERYTHING, Filter
from .importing import Imported, import_records, numbered_lines, parse_json
from .record import Conditions, Device, Record, Versions, Workload

if TYPE_CHECKING:
    from .log import TuningLog

T = TypeVar("T")

SCHEMA = 1
"""The version of the lines."""

COMPRESSION = 6


def export_lines(log: TuningLog, path: Path, filter: Filter = EVERYTHING) -> int:
    """Writes the records that ``filter`` leaves to ``path``; their number.

    The file appears when it is complete. OutputError when it exists already or cannot be written.
    """
    if path.exists():
        raise OutputError(f"{path} exists already; remove it, or choose another name")
    number, written = 0, set()
    with appearing(path) as write:
        for record in log.records(filter):
            if record.workload.hash not in written:
                written.add(record.workload.hash)
                write(_line(asdict(record.workload)))
            write(_line(document_of(record)))
            number += 1
    return number


def import_lines(log: TuningLog, path: Path, *, strict: bool = False) -> Imported:
    """Adds the records of the file ``path``; bad lines are counted and passed over.

    With ``strict`` the file is read once before, and refused for its first bad line: then nothing is written.
    Importing a file again adds what is missing. TuningLogError when it is refused or cannot be read, or the log cannot
    be written.
    """
    known = {workload.hash: workload for workload in log.workloads()}
    return import_records(log, lambda result: _records(path, dict(known), result), strict)


def document_of(record: Record) -> dict[str, Any]:
    """The record as a JSON document, without its workload's IR."""
    document = {name: getattr(record, name) for name in Record.__dataclass_fields__}
    workload = {name: getattr(record.workload, name) for name in ("hash", "operator", "shape")}
    return {
        "schema": SCHEMA,
        **document,
        "workload": workload,
        "features": sorted(record.features),
        "device": asdict(record.device),
        "conditions": asdict(record.conditions),
        "versions": asdict(record.versions),
        "tuned_at": record.tuned_at.isoformat(),
    }


def _line(document: dict[str, Any]) -> bytes:
    document = {"schema": SCHEMA, **document}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _records(path: Path, known: dict[str, Workload], result: Imported) -> Iterator[Record]:
    """The records of a file's good lines. ``known``: workloads by hash; those of the file are added."""
    for number, line in numbered_lines(path, result):
        try:
            document = _document(line)
            if "ir" in document:
                workload = _made(Workload, document)
                known.setdefault(workload.hash, workload)
            else:
                yield _record(document, known)
        except TuningLogError as error:
            result.refuse(path, number, str(error))


def _document(line: bytes) -> dict[str, Any]:
    document = parse_json(line)
    if not isinstance(document, dict):
        raise TuningLogError("no JSON object")
    version = document.pop("schema", None)
    if version != SCHEMA:
        raise TuningLogError(f"schema {version!r}; this intbert reads {SCHEMA}")
    return document


def _record(document: dict[str, Any], known: dict[str, Workload]) -> Record:
    hash = _part(document, "workload").get("hash")
    if not isinstance(hash, str) or hash not in known:
        raise TuningLogError(f"no line before has the IR of its workload {hash!r}, and the log does not know it")
    seconds, features = document.get("seconds"), document.get("features")
    if not isinstance(seconds, list) or not isinstance(features, list):
        raise TuningLogError("seconds and features are no lists")
    parts = {
        "workload": known[hash],
        "device": _made(Device, _part(document, "device")),
        "conditions": _made(Conditions, _part(document, "conditions")),
        "versions": _made(Versions, _part(document, "versions")),
        "seconds": tuple(seconds),
        "features": frozenset(map(str, features)),
        "tuned_at": _time(document.get("tuned_at")),
    }
    if "id" not in document:
        raise TuningLogError("no id, so that importing the line twice would make two records")
    return _made(Record, {**document, **parts})


def _part(document: dict[str, Any], name: str) -> dict[str, Any]:
    part = document.get(name)
    if not isinstance(part, dict):
        raise TuningLogError(f"{name} is no JSON object")
    return part


def _made(kind: type[T], fields: dict[str, Any]) -> T:
    try:
        return kind(**fields)
    except TypeError as error:
        # Python's own words name the field: "... got an unexpected keyword argument 'x'", "missing 1 required ...".
        raise TuningLogError(f"{kind.__name__.lower()}: {str(error).partition(') ')[2] or error}") from None


def _time(value: object) -> datetime:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else _no_time(value)
    except ValueError:
        return _no_time(value)


def _no_time(value: object) -> datetime:
    raise TuningLogError(f"tuned_at is {value!r}; expected a time, such as 2030-01-31T12:00:00+00:00")


@contextmanager
def appearing(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Yields what writes to a file that takes its name, with all its bytes on the disk, when the block ends without an
    error."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as raw:
            if path.suffix == ".gz":
                # No name and no time inside: the same log gives the same bytes.
                with gzip.GzipFile("", "wb", COMPRESSION, raw, 0) as packed:
                    yield packed.write
            else:
                yield raw.write
            raw.flush()
            os.fsync(raw.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        with suppress(OSError):
            partial.unlink()
