"""A profile: how long each operator of an artifact takes. Measured by :mod:`.runtime.profiling`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class ProfileRequest:
    """``runs`` inferences of ``batch`` rows of ``length`` tokens (None: of the longest bucket); fewer, but at least
    one, when ``seconds`` are over before. Raises InputError for what cannot be run."""

    length: int | None = None
    batch: int = 1
    runs: int = 20
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("batch", self.batch), ("runs", self.runs)):
            if value is not None and value < 1:
                raise InputError(f"profile: {name} is {value}; it must be at least 1")


@dataclass(frozen=True)
class OperatorTime:
    """One operator in one inference: ``calls``, and the ``ms`` that all of them take together, a mean over the runs.

    ``name`` is the manifest's; ``kernel`` is the function of the library that runs it, the same one for all operators
    that differ in their constants only. ``strategy``: how the kernel is scheduled, None where the manifest does not
    say; ``name`` is then the kernel's. ``macs`` and ``bytes``: the multiply-adds of all calls, and what they read and
    write; None where the manifest does not say.
    """

    name: str
    kernel: str
    strategy: str | None
    calls: int
    ms: float
    macs: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Peak(ABC):
    """What a machine can do at best, measured: ``gmacs`` int8 multiply-adds per nanosecond by ``instruction``."""

    instruction: str
    gmacs: float

    def __post_init__(self) -> None:
        if not self.gmacs > 0:
            raise ValueError(f"a peak of {self.gmacs} GMAC/s")

    @abstractmethod
    def together(self, threads: int) -> float:
        """GMAC/s of all that computes where a model has ``threads`` threads."""

    def to_json(self, threads: int) -> dict[str, Any]:
        """A JSON document, with what follows for ``threads`` threads."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Peak:
        """The inverse of :meth:`to_json`."""
        if "gbytes" not in document:
            return ThreadPeak(document["instruction"], document["gmacs"])
        reasons = document["throttled"]
        return GpuPeak(**{**document, "throttled": None if reasons is None else tuple(reasons)})


@dataclass(frozen=True)
class ThreadPeak(Peak):
    """Of one thread of a CPU: that of all is taken to be as many times it."""

    def together(self, threads: int) -> float:
        return threads * self.gmacs

    def to_json(self, threads: int) -> dict[str, Any]:
        return {**super().to_json(threads), "all_threads_gmacs": self.together(threads)}


@dataclass(frozen=True)
class GpuPeak(Peak):
    """Of all multiprocessors of a GPU. ``gbytes``: that its memory reads and writes in a nanosecond, measured by a
    copy; ``clock_mhz``: right after the multiply-adds, and ``throttled``: the reasons for which the clock was held back
    while either was measured; None where the board cannot tell."""

    gbytes: float
    clock_mhz: float | None = None
    throttled: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gbytes > 0:
            raise ValueError(f"a peak of {self.gbytes} GB/s")

    def together(self, threads: int) -> float:
        return self.gmacs


@dataclass(frozen=True)
class Profile:
    """Where the time of an inference goes.

    ``operators``: the slowest first; ``steps``: how many calls the virtual machine makes, of operators and of its own
    functions; ``instrumented_ms``: the mean of the inferences in which they were timed; ``instrumentation_ms``: by how
    much timing prolongs an inference, the fastest with it less the fastest without; ``uninstrumented_p50_ms``: the
    median without it, of inferences that took turns with the timed ones; ``peak``: the machine's, None where it was
    not measured.
    """

    operators: tuple[OperatorTime, ...]
    steps: int
    instrumented_ms: float
    instrumentation_ms: float
    uninstrumented_p50_ms: float
    length: int
    batch: int
    threads: int
    runs: int
    peak: Peak | None = None

    def __post_init__(self) -> None:
        if self._inside > self.instrumented_ms * (1 + 1e-9):
            raise ValueError(f"operators take {self._inside} ms of an inference of {self.instrumented_ms} ms")
        if self.total_ms <= 0:
            raise ValueError(f"instrumentation takes {self.instrumentation_ms} of {self.instrumented_ms} ms")
        if sum(operator.calls for operator in self.operators) > self.steps:
            raise ValueError(f"operators are called more often than the {self.steps} steps of an inference")

    @property
    def total_ms(self) -> float:
        """The mean of an inference, the instrumentation taken off."""
        return self.instrumented_ms - self.instrumentation_ms

    @property
    def outside_ms(self) -> float:
        """What of the total is in no operator: the virtual machine, preparing inputs, copying the output.

        The little of the instrumentation that falls within operators is taken off here.
        """
        return self.total_ms - self._inside

    @property
    def _inside(self) -> float:
        return sum(operator.ms for operator in self.operators)

    def share(self, ms: float) -> float:
        """``ms`` as a part of the total: those of all operators and of what is outside them are 1 together."""
        return ms / self.total_ms

    @property
    def peak_gmacs(self) -> float | None:
        """The peak of all that computes together."""
        return None if self.peak is None else self.peak.together(self.threads)

    @property
    def peak_gbytes(self) -> float | None:
        """That of the memory, which is measured on GPUs."""
        return self.peak.gbytes if isinstance(self.peak, GpuPeak) else None

    @property
    def macs(self) -> int | None:
        """Of an inference."""
        return _sum(operator.macs for operator in self.operators)

    @property
    def bytes(self) -> int | None:
        """What the operators of an inference read and write."""
        return _sum(operator.bytes for operator in self.operators)

    def rates(self, macs: int | None, bytes: int | None, ms: float) -> dict[str, float | None]:
        """What ``macs`` and ``bytes`` in ``ms`` come to."""
        return {
            "gmacs_per_s": giga_per_second(macs, ms),
            "share_of_peak": _share(giga_per_second(macs, ms), self.peak_gmacs),
            "gbytes_per_s": giga_per_second(bytes, ms),
            "share_of_bandwidth": _share(giga_per_second(bytes, ms), self.peak_gbytes),
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON document; what is derived from other numbers is in it too."""
        operators = [
            {**asdict(entry), "share": self.share(entry.ms), **self.rates(entry.macs, entry.bytes, entry.ms)}
            for entry in self.operators
        ]
        return {
            "length": self.length,
            "batch": self.batch,
            "threads": self.threads,
            "runs": self.runs,
            "uninstrumented_p50_ms": self.uninstrumented_p50_ms,
            "instrumented_ms": self.instrumented_ms,
            "instrumentation_ms": self.instrumentation_ms,
            "steps": self.steps,
            "total_ms": self.total_ms,
            "outside_ms": self.outside_ms,
            "macs": self.macs,
            "bytes": self.bytes,
            **self.rates(self.macs, self.bytes, self.total_ms),
            "peak": None if self.peak is None else self.peak.to_json(self.threads),
            "operators": operators,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Profile:
        """The inverse of :meth:`to_json`."""
        stored = {name: document[name] for name in cls.__dataclass_fields__ if name not in ("operators", "peak")}
        fields = OperatorTime.__dataclass_fields__
        operators = (OperatorTime(**{name: entry[name] for name in fields}) for entry in document["operators"])
        peak = document["peak"] and Peak.from_json(document["peak"])
        return cls(tuple(operators), **stored, peak=peak)


def giga_per_second(count: int | None, ms: float) -> float | None:
    """``count`` in ``ms`` as billions a second; None where it is unknown, nothing, or took no time."""
    return count / ms / 1e6 if count and ms > 0 else None


def _share(rate: float | None, peak: float | None) -> float | None:
    """``rate`` as a part of ``peak``; None where one of them is unknown."""
    return None if rate is None or peak is None else rate / peak


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where one of them is unknown."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def slowest_first(operators: Iterable[OperatorTime]) -> tuple[OperatorTime, ...]:
    """One entry for each name, kernel and strategy, calls, times and costs added up, ordered by time."""
    added: dict[tuple[str, str, str | None], OperatorTime] = {}
    for operator in operators:
        key = (operator.name, operator.kernel, operator.strategy)
        so_far = added.get(key)
        if so_far is not None:
            operator = replace(
                operator,
                calls=so_far.calls + operator.calls,
                ms=so_far.ms + operator.ms,
                macs=_sum((so_far.macs, operator.macs)),
                bytes=_sum((so_far.bytes, operator.bytes)),
            )
        added[key] = operator
    return tuple(sorted(added.values(), key=lambda operator: -operator.ms))


def across_layers(operators: Iterable[OperatorTime]) -> tuple[OperatorTime, ...]:
    """As :func:`slowest_first`, what the layers have in common as one entry: ``layers.*.attention``."""
    return slowest_first(replace(operator, name=across_layers_name(operator.name)) for operator in operators)


def across_layers_name(operator: str) -> str:
    """``layers.*.attention`` for ``layers.3.attention``."""
    return re.sub(r"^layers\.\d+\.", "layers.*.", operator)
