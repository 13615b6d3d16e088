"""What is known of a board."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ...errors import DeviceError
from ...targets.cuda import Release
from ...targets.features import IMPLIED, close_features


@dataclass(frozen=True)
class CoreKind:
    """``count`` cores of one kind: MIDR_EL1's implementer and part, and LLVM's name where it is known here."""

    implementer: int
    part: int
    count: int
    name: str | None

    def __post_init__(self) -> None:
        if not (0 <= self.implementer < 1 << 8 and 0 <= self.part < 1 << 12 and self.count > 0):
            raise DeviceError(f"{self.count} cores of implementer {self.implementer}, part {self.part}: no such cores")


@dataclass(frozen=True)
class Python:
    """A CPython on the board. ``bits`` are those of its pointers; ``has_venv``: whether it can make environments."""

    version: tuple[int, int, int]
    path: str
    bits: int
    has_venv: bool

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise DeviceError(f"the path {self.path!r} of a Python is not absolute")

    @property
    def version_text(self) -> str:
        """``3.11.2``."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True)
class ClockPolicy:
    """How the clock of some cores is chosen: the governor, and between which frequencies, in MHz."""

    governor: str
    low_mhz: int
    high_mhz: int


@dataclass(frozen=True)
class CudaFacts:
    """An NVIDIA GPU and its software; what the board does not tell is None.

    ``l4t`` and ``jetpack`` are releases of Jetsons' software; ``runtime`` is libcudart's version; ``sm`` the compute
    capability. ``driver`` is the driver's own version, such as 580.65.06, ``driver_release`` the CUDA release that it
    says it is of.
    """

    gpu: str | None
    sm: tuple[int, int] | None
    driver: str | None
    runtime: Release | None
    l4t: str | None
    jetpack: str | None
    driver_release: Release | None = None


@dataclass(frozen=True)
class BoardFacts:
    """A board as the probe found it; what it does not tell is None, or absent from a tuple.

    system, kernel, distribution: ``uname -s``, ``uname -r``, and os-release's name.
    arch: as in :mod:`...targets.features`, or the kernel's own name of another architecture, such as armv7l.
    bits: 32 or 64, of the programs: a 64-bit kernel may run 32-bit ones.
    libc: "glibc" or "musl".
    model: what the device tree calls the board.
    core_kinds: on Arm, in the kernel's order; may be empty where the cores cannot be told (emulation).
    features: canonical, of all cores.
    cores: those that a program of this account may use.
    memory_mb, available_mb, free_mb: MiB of memory, of it available when probed, and free on the disk of the home.
    sensors: what can be read, as "temperature: NAME", "power: NAME", "throttling: NAME".
    boot_id, uptime_seconds, time: of the probed boot; ``time`` is seconds since the epoch by the board's clock.

    Raises DeviceError for what cannot be. Every text is printable.
    """

    system: str
    kernel: str
    distribution: str | None
    arch: str
    bits: int
    libc: str | None
    libc_version: tuple[int, int] | None
    model: str | None
    core_kinds: tuple[CoreKind, ...]
    features: frozenset[str]
    cores: int
    memory_mb: int
    available_mb: int | None
    free_mb: int | None
    home: str
    pythons: tuple[Python, ...]
    clock_policies: tuple[ClockPolicy, ...]
    sensors: tuple[str, ...]
    boot_id: str | None
    uptime_seconds: int | None
    time: int | None
    cuda: CudaFacts | None

    def __post_init__(self) -> None:
        for text in _texts(asdict(self)):
            if not text or not text.isprintable():
                raise DeviceError(f"{text!r} is no printable text")
        if self.bits not in (32, 64):
            raise DeviceError(f"bits is {self.bits}; expected 32 or 64")
        if self.cores < 1 or self.memory_mb < 1:
            raise DeviceError(f"{self.cores} cores and {self.memory_mb} MB of memory; expected at least 1")
        if not self.home.startswith("/"):
            raise DeviceError(f"the home {self.home!r} is no absolute path")
        unknown = self.features - set(IMPLIED.get(self.arch, ()))
        if unknown:
            raise DeviceError(f"features has {', '.join(sorted(unknown))}, which {self.arch} does not have")
        if self.features and close_features(self.arch, self.features) != self.features:
            raise DeviceError(f"features lacks what {', '.join(sorted(self.features))} imply")

    @property
    def cpu_names(self) -> tuple[str, ...]:
        """LLVM's names of the kinds of cores that are known, in the kernel's order."""
        return tuple(kind.name for kind in self.core_kinds if kind.name is not None)

    @property
    def governor(self) -> str | None:
        """The governor of the clocks; several where they differ, None where there is none to be seen."""
        return ", ".join(dict.fromkeys(policy.governor for policy in self.clock_policies)) or None

    def to_json(self) -> dict[str, Any]:
        """A document for ``json.dumps``."""
        return {**asdict(self), "features": sorted(self.features)}

    @classmethod
    def from_json(cls, document: object) -> BoardFacts:
        """The inverse of :meth:`to_json`; DeviceError, naming the field, for what it would not write."""
        from pydantic import TypeAdapter, ValidationError

        try:
            text = json.dumps(document)  # strict, it takes a list for a tuple in JSON only
        except (TypeError, ValueError, RecursionError) as error:
            raise DeviceError(f"facts: no JSON document ({error})") from None
        try:
            return TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, ("facts", *first["loc"])))
            raise DeviceError(f"{where}: {first['msg']}; `intbert device probe` writes it anew") from None


def _texts(value: object) -> Iterator[str]:
    """Every string inside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (tuple, frozenset)):
        for inner in value:
            yield from _texts(inner)
