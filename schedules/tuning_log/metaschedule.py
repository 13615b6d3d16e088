"""MetaSchedule's side: its JSON database files, and a log as the database that its search works on."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule

from ...errors import OutputError, TuningLogError
from ...targets.features import IMPLIED, close_features
from ...targets.target import Target
from .filter import EVERYTHING, Filter
from .importing import Imported, import_records, numbered_lines, parse_json
from .lines import appearing
from .record import FAILED, MEASURED, USABLE, Device, Record, Versions, Workload
from .workload import structural_hash, workload_of

if TYPE_CHECKING:
    from .log import TuningLog

WORKLOADS_FILE = "database_workload.json"
RECORDS_FILE = "database_tuning_record.json"

FAILED_SECONDS = 1e10
"""What MetaSchedule writes for a candidate that failed."""

_LEAST_FAILED_SECONDS = 1e9
_IDS = uuid.UUID("5be6a2f0-0a52-4a53-9f3b-5f3f1f7d6e0c")
"""Names the space of the ids of imported records; never changes."""


@dataclass(frozen=True)
class Origin:
    """What MetaSchedule's files do not say of their records.

    ``target``: what they were built for, whose triple is taken where a record's target names none; ``operator`` and
    ``strategy``: in words. ``threads``: None takes the number of cores of each record's target; ``checked_by``: who
    vouches that the outputs were right, None when nobody does.
    """

    device: Device
    versions: Versions
    target: Target
    operator: str
    strategy: str
    tuned_at: datetime
    threads: int | None = None
    checked_by: str | None = None


@dataclass(frozen=True)
class Exported:
    """How many records were written, and how many were not: their traces do not apply to their workloads here."""

    written: int
    left_out: int


def import_database(log: TuningLog, folder: Path, origin: Origin, *, strict: bool = False) -> Imported:
    """Adds the records of the two files in ``folder``; bad lines are counted and passed over.

    The instruction set features are what LLVM says of a record's target; only targets of kind llvm, for x86-64 and
    AArch64, are taken. Importing a file again adds nothing. As for ``strict`` and errors, see
    :func:`.lines.import_lines`.
    """
    return import_records(log, lambda result: _records(folder, origin, result), strict)


def export_database(log: TuningLog, folder: Path, target: Target, filter: Filter = EVERYTHING) -> Exported:
    """Writes the measured records that ``target`` can run to MetaSchedule's two files in ``folder``: those that are
    usable, since MetaSchedule checks nothing, and those that failed.

    OutputError when a file exists already or cannot be written.
    """
    paths = folder / WORKLOADS_FILE, folder / RECORDS_FILE
    for path in paths:
        if path.exists():
            raise OutputError(f"{path} exists already; remove it, or choose another folder")
    view = _View(target.tvm())
    numbers: dict[str, int] = {}
    written = left_out = 0
    with appearing(paths[0]) as write_workload, appearing(paths[1]) as write_record:
        for record in log.records(filter):
            wanted = record.outcome in (USABLE, FAILED) and record.source == MEASURED
            if not wanted or not record.features <= target.tuning_features:
                continue
            there = view.tuning_record(record)
            if there is None:
                left_out += 1
                continue
            if record.workload.hash not in numbers:
                numbers[record.workload.hash] = len(numbers)
                write_workload(_line(there.workload.as_json()))
            write_record(_line([numbers[record.workload.hash], there.as_json()]))
            written += 1
    return Exported(written, left_out)


@derived_object
class LogDatabase(meta_schedule.database.PyDatabase):
    """A log as MetaSchedule sees it while it tunes one target with one number of threads and one release of TVM.

    ``record_of`` makes a record of what MetaSchedule commits, or None when the log has it already; without it commits
    change nothing, for a tuner that adds its records itself. ``accept``: which records it sees. ``ranked``: the records
    that :meth:`get_top_k` chooses from, the best first, for a tuner that knows of better ones than the log's usable.
    """

    def __init__(
        self,
        log: TuningLog,
        target: Target,
        tvm: str,
        threads: int,
        record_of: Callable[[meta_schedule.database.TuningRecord], Record | None] | None = None,
        accept: Callable[[Record], bool] = lambda record: True,
        ranked: Callable[[], Sequence[Record]] | None = None,
    ) -> None:
        super().__init__()
        self._accept, self._ranked = accept, ranked
        self._log, self._record_of = log, record_of
        self._target, self._tvm, self._threads = target, tvm, threads
        self._view = _View(target.tvm())
        self._committed: dict[str, Any] = {}

    def has_workload(self, mod: Any) -> bool:
        """Whether the log has records of the module, or it was committed."""
        hash = structural_hash(mod)
        return hash in self._committed or self._log.count(Filter(workload=hash)) > 0

    def commit_workload(self, mod: Any) -> Any:
        """MetaSchedule's workload of the module. The log gets it with its first record."""
        return self._committed.setdefault(structural_hash(mod), meta_schedule.database.Workload(mod))

    def commit_tuning_record(self, record: Any) -> None:
        """Adds what ``record_of`` makes of the record."""
        made = None if self._record_of is None else self._record_of(record)
        if made is not None:
            self._log.add(made)

    def get_top_k(self, workload: Any, top_k: int) -> list[Any]:
        """The best usable records of the workload whose traces apply."""
        if self._ranked is not None:
            return self._applied(self._ranked())[:top_k]
        suitable = {"features": self._target.tuning_features, "tvm": self._tvm, "threads": self._threads}
        asked = top_k
        while True:
            records = self._log.top(structural_hash(workload.mod), asked, **suitable)
            applied = self._applied(records)[:top_k]
            if len(applied) == top_k or len(records) < asked:
                return applied
            asked *= 2

    def get_all_tuning_records(self) -> list[Any]:
        """All records that :meth:`get_top_k` chooses from, and those that failed."""
        return self._applied(self._all())

    def __len__(self) -> int:
        return sum(1 for _ in self._all())

    def _all(self) -> Iterator[Record]:
        for record in self._log.records(Filter(tvm=self._tvm)):
            fits = record.threads == self._threads and record.features <= self._target.tuning_features
            if fits and record.outcome in (USABLE, FAILED):
                yield record

    def _applied(self, records: Iterable[Record]) -> list[Any]:
        made = map(self._view.tuning_record, filter(self._accept, records))
        return [there for there in made if there is not None]


class _View:
    """Records as MetaSchedule's, for one target."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._workloads: dict[str, Any] = {}

    def tuning_record(self, record: Record) -> Any | None:
        """None when the trace does not apply: made by another space, or with intrinsics that are not registered."""
        workload = self._workload(record.workload)
        seconds = list(record.seconds) or [FAILED_SECONDS]
        arguments = meta_schedule.arg_info.ArgInfo.from_entry_func(workload.mod, remove_preproc=False)
        document = [json.loads(record.trace), seconds, self._target_document(), [each.as_json() for each in arguments]]
        try:
            return meta_schedule.database.TuningRecord.from_json(document, workload)
        except Exception:  # TVM raises whatever type it likes
            return None

    def _target_document(self) -> Any:
        return self._target.export()

    def _workload(self, workload: Workload) -> Any:
        import tvm

        if workload.hash not in self._workloads:
            self._workloads[workload.hash] = meta_schedule.database.Workload(tvm.ir.load_json(workload.ir))
        return self._workloads[workload.hash]


def _records(folder: Path, origin: Origin, result: Imported) -> Iterator[Record]:
    workloads = _workloads(folder / WORKLOADS_FILE, origin, result)
    path = folder / RECORDS_FILE
    seen: Counter[bytes] = Counter()
    for number, line in numbered_lines(path, result):
        try:
            index, document = _list(parse_json(line), 2, "a record")
            workload = workloads.get(index) if isinstance(index, int) else None
            if workload is None:
                raise TuningLogError(f"there is no workload {index!r}")
            # The same candidate, measured again, may well be another line with the same bytes.
            digest = hashlib.sha256(f"{workload.hash} {origin.device.name} ".encode() + line.strip()).digest()
            seen[digest] += 1
            id = uuid.uuid5(_IDS, f"{digest.hex()} {seen[digest]}").hex
            yield _record(id, workload, document, origin)
        except TuningLogError as error:
            result.refuse(path, number, str(error))


def _record(id: str, workload: Workload, document: Any, origin: Origin) -> Record:
    trace, seconds, target, _ = _list(document, 4, "a record")
    if not isinstance(target, dict):
        raise TuningLogError("it has no target")
    seconds = seconds if isinstance(seconds, list) else []
    failed = not seconds or any(isinstance(value, int | float) and value >= _LEAST_FAILED_SECONDS for value in seconds)
    return Record(
        id=id,
        workload=workload,
        strategy=origin.strategy,
        trace=json.dumps(trace),
        seconds=() if failed else tuple(seconds),
        error="MetaSchedule says no more than that it failed" if failed else None,
        threads=origin.threads or target.get("num-cores", 1),
        features=features_of(json.dumps({"mtriple": origin.target.triple, **target}, sort_keys=True)),
        target=origin.target.name,
        device=origin.device,
        versions=origin.versions,
        checked_by=None if failed else origin.checked_by,
        tuned_at=origin.tuned_at,
    )


def _workloads(path: Path, origin: Origin, result: Imported) -> dict[int, Workload]:
    """By their places in the file, which records refer to: a bad line has one too."""
    import tvm

    found = {}
    for place, (number, line) in enumerate(numbered_lines(path, result)):
        try:
            _, text = _list(parse_json(line), 2, "a workload")
            module = tvm.ir.load_json(_module_text(text))
            found[place] = workload_of(module, origin.operator, _shape(module))
        except TuningLogError as error:
            result.refuse(path, number, str(error))
        except Exception as error:  # TVM raises whatever type it likes
            result.refuse(path, number, f"this TVM cannot read the module ({str(error).splitlines()[-1]})")
    return found


def _module_text(encoded: object) -> str:
    """The JSON in base64 of a string that stands behind its length, 8 bytes, the lowest first."""
    try:
        data = base64.b64decode(encoded if isinstance(encoded, str) else "", validate=True)
        (length,) = struct.unpack_from("<Q", data)
        text = data[8:].decode("utf-8")
    except (binascii.Error, struct.error, UnicodeDecodeError) as error:
        raise TuningLogError(f"no module in base64 ({error})") from None
    if length != len(data) - 8:
        raise TuningLogError("the module is cut off")
    return text


def _shape(module: Any) -> str:
    """The arguments of the module's function, in words: MetaSchedule's files have no better ones."""
    arguments = meta_schedule.arg_info.ArgInfo.from_entry_func(module, remove_preproc=False)
    return ", ".join(f"{each.dtype} {' x '.join(map(str, each.shape))}" for each in arguments)[:500]


@cache
def features_of(target: str) -> frozenset[str]:
    """The canonical features of code for TVM's target (as JSON), by what LLVM says of it.

    TuningLogError when it is none of kind llvm for x86-64 or AArch64.
    """
    from tvm.target import Target as TVMTarget
    from tvm.target.codegen import llvm_get_cpu_features

    document = {key: value for key, value in json.loads(target).items() if not key.startswith("feature.")}
    arch = str(document.get("mtriple", "")).partition("-")[0]
    if document.get("kind") != "llvm" or arch not in IMPLIED:
        raise TuningLogError(f"its target, {document.get('kind')} for {arch}, has no features of ours")
    try:
        mine = set(llvm_get_cpu_features(TVMTarget(document)))
    except Exception as error:  # TVM raises whatever type it likes
        raise TuningLogError(f"LLVM refuses its target ({str(error).splitlines()[-1]})") from None
    own = {feature for feature in IMPLIED[arch] if _needed(arch, feature) <= mine}
    return frozenset(feature for feature in own if close_features(arch, {feature}) <= own)


@cache
def _needed(arch: str, feature: str) -> frozenset[str]:
    """LLVM's names for what a canonical feature means."""
    probe = Target("probe", "", arch, f"{arch}-linux-gnu", "generic", frozenset({feature}))
    return frozenset(name[1:] for name in probe.llvm_attributes() if name.startswith("+"))


def _list(document: object, length: int, what: str) -> list[Any]:
    if not isinstance(document, list) or len(document) != length:
        raise TuningLogError(f"no list of {length}, as {what} is")
    return document


def _line(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"
