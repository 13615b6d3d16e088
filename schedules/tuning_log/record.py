"""What a tuning log holds: one measurement of one candidate for one kernel, and all that it depended on."""

from __future__ import annotations

import math
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from statistics import median

from ...errors import TuningLogError

MEASURED = "measured"
ESTIMATED = "estimated"
SOURCES = (MEASURED, ESTIMATED)
"""Where a time comes from. An estimate never outranks a measurement."""

USABLE = "usable"
FAILED = "failed"
UNCHECKED = "unchecked"
THROTTLED = "throttled"
OUTCOMES = (USABLE, FAILED, UNCHECKED, THROTTLED)
"""What became of a record. Only a usable one may be anybody's best."""

LONGEST_ERROR = 2000
"""Characters of :attr:`Record.error` that are kept."""
LONGEST_WORDS = 500
"""Characters of every other text but the workload's IR and the trace."""

_ID = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{1,64}")
_FEATURE = re.compile(r"[a-z0-9_.]+")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Workload:
    """A kernel before it is scheduled.

    ``hash``: TVM's structural hash, hexadecimal; ``ir``: the IRModule as TVM's JSON text; ``operator``: its kind, such
    as "linear"; ``shape``: in words. Two with one hash are one: a log keeps the words that it saw first.

    Raises TuningLogError when a field is invalid.
    """

    hash: str
    ir: str
    operator: str
    shape: str

    def __post_init__(self) -> None:
        _match("the workload's hash", self.hash, _HASH, "hexadecimal digits")
        _text("the workload's ir", self.ir)
        _words("the workload's operator", self.operator)
        _words("the workload's shape", self.shape)


@dataclass(frozen=True)
class Device:
    """The machine that measured: its name to the user, its model and its processor in words, its cores.

    Raises TuningLogError when a field is invalid.
    """

    name: str
    model: str
    cpu: str
    cores: int

    def __post_init__(self) -> None:
        _words("the device's name", self.name)
        _words("the device's model", self.model)
        _words("the device's cpu", self.cpu)
        _count("the device's cores", self.cores)


@dataclass(frozen=True)
class Conditions:
    """The state of the device after the last sample; None where it does not say.

    ``clock_hz``: of the core, or of the GPU, that ran the kernel, in hertz; ``temperature_celsius``; ``governor``: what
    chooses that clock; ``throttled``: whether the clock was lowered to save the device while it measured.

    Raises TuningLogError when a field is invalid.
    """

    clock_hz: float | None = None
    temperature_celsius: float | None = None
    governor: str | None = None
    throttled: bool | None = None

    def __post_init__(self) -> None:
        for name in ("clock_hz", "temperature_celsius"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _number(f"the conditions' {name}", value))
        if self.governor is not None:
            _words("the conditions' governor", self.governor)
        if not isinstance(self.throttled, bool | None):
            raise TuningLogError(f"the conditions' throttled is {self.throttled!r}; expected true, false or nothing")


@dataclass(frozen=True)
class Versions:
    """What made the code: the releases of apache-tvm, apache-tvm-ffi and LLVM, and the digest of the tuning space.

    Raises TuningLogError when a field is invalid.
    """

    tvm: str
    ffi: str
    llvm: str
    space: str

    def __post_init__(self) -> None:
        for name in ("tvm", "ffi", "llvm", "space"):
            _words(f"the version of {name}", getattr(self, name))


def new_id() -> str:
    """An id for a new record; whoever makes the record draws it, so that adding it again adds nothing."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Record:
    """A measurement, or an attempt at one that failed.

    ``trace``: MetaSchedule's, as JSON text; ``seconds``: every sample of one call, empty when ``error`` says why there
    are none; ``source``: one of :data:`SOURCES`; ``features``: the canonical instruction set features that the
    candidate was built with; ``target``: the preset's name; ``checked_by``: what compared the outputs with the oracle,
    None when nothing did; ``tuned_at``: with a time zone, kept in UTC. ``error`` loses characters that no database
    takes, and what is beyond :data:`LONGEST_ERROR`.

    Raises TuningLogError when a field is invalid.
    """

    workload: Workload
    strategy: str
    trace: str
    seconds: tuple[float, ...]
    threads: int
    features: frozenset[str]
    target: str
    device: Device
    versions: Versions
    tuned_at: datetime
    error: str | None = None
    source: str = MEASURED
    conditions: Conditions = Conditions()
    checked_by: str | None = None
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        _match("the record's id", self.id, _ID, "32 hexadecimal digits")
        _text("the record's trace", self.trace)
        _words("the record's strategy", self.strategy)
        _words("the record's target", self.target)
        if self.checked_by is not None:
            _words("the record's checked_by", self.checked_by)
        if self.source not in SOURCES:
            raise TuningLogError(f"the record's source is {self.source!r}; expected one of {', '.join(SOURCES)}")
        _count("the record's threads", self.threads)
        for feature in self.features:
            _match("a feature of the record", feature, _FEATURE, "a canonical name, such as dotprod")
        object.__setattr__(self, "features", frozenset(self.features))
        object.__setattr__(self, "seconds", tuple(_duration(value) for value in self.seconds))
        object.__setattr__(self, "tuned_at", _utc(self.tuned_at))
        if self.error is not None:
            object.__setattr__(self, "error", _storable(self.error)[:LONGEST_ERROR] or "unknown")
        if bool(self.seconds) == (self.error is not None):
            raise TuningLogError("a record has either seconds or an error that says why there are none")

    @property
    def median_seconds(self) -> float | None:
        """What records are ranked by; None for one that failed."""
        return median(self.seconds) if self.seconds else None

    @property
    def outcome(self) -> str:
        """One of :data:`OUTCOMES`."""
        if self.error is not None:
            return FAILED
        if self.checked_by is None:
            return UNCHECKED
        return THROTTLED if self.conditions.throttled else USABLE

    @property
    def usable(self) -> bool:
        """Whether it may be anybody's best: it has a time, was compared with the oracle, and nothing was throttled."""
        return self.outcome == USABLE


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TuningLogError(f"{what} is {_short(value)}; expected text")
    if _storable(value) != value:
        raise TuningLogError(f"{what} is {_short(value)}, which has characters that no database takes")
    return value


def _words(what: str, value: object) -> None:
    if len(_text(what, value)) > LONGEST_WORDS:
        raise TuningLogError(f"{what} is {_short(value)}; expected at most {LONGEST_WORDS} characters")


def _match(what: str, value: object, pattern: re.Pattern[str], expected: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise TuningLogError(f"{what} is {_short(value)}; expected {expected}")


def _count(what: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise TuningLogError(f"{what} is {_short(value)}; expected a number from 1 on")


def _number(what: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # NaN and the infinities are no measurements, and JSON has no words for them.
        with suppress(OverflowError):
            if math.isfinite(value):
                return float(value)
    raise TuningLogError(f"{what} is {_short(value)}; expected a number")


def _duration(value: object) -> float:
    seconds = _number("a sample of the record", value)
    if seconds <= 0:
        raise TuningLogError(f"a sample of the record is {seconds!r}; expected seconds, above 0")
    return seconds


def _utc(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TuningLogError(f"the record's tuned_at is {_short(value)}; expected a time with a time zone")
    return value.astimezone(timezone.utc)


def _storable(text: str) -> str:
    """``text`` without NUL, which PostgreSQL refuses, and halves of characters, which no encoding has."""
    return _LONE_SURROGATE.sub("?", text.replace("\0", "?"))


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
