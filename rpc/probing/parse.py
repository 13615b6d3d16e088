"""From a report of ``probe.sh`` to what is known of the board."""

from __future__ import annotations

import re

from ...errors import DeviceError, RemoteError
from ...targets.features import AARCH64, X86_64
from .cuda import cuda_facts
from .facts import BoardFacts, Python
from .processors import clock_policies, core_kinds, features, usable_cores
from .report import Report, one_line

_ARCHITECTURES = {"amd64": X86_64, "arm64": AARCH64}

_PYTHON = re.compile(r"cpython (\d{1,3})\.(\d{1,3})\.(\d{1,3}) (32|64) ([01]) (/.*)")
_GLIBC = re.compile(r"\b(?:glibc |GLIBC |GNU libc\) )(\d{1,3})\.(\d{1,3})")
_MUSL = re.compile(r"\bmusl\b.*?Version (\d{1,3})\.(\d{1,3})", re.DOTALL)
_FREE = re.compile(r"\s\d+\s+\d+\s+(\d{1,18})\s+\d+%\s")


def parse_report(text: str) -> BoardFacts:
    """The board that printed ``text``.

    Raises RemoteError, one line, for a report that is cut off, is none, or says what cannot be.
    """
    report = Report.read(text)
    model = report.line("model")
    arch = _needed(report, "machine")
    arch = _ARCHITECTURES.get(arch.lower(), arch)
    bits = _bits(report, arch)
    libc, libc_version = _libc(report)
    memory = report.fields("meminfo", ":")
    try:
        return BoardFacts(
            system=_needed(report, "system"),
            kernel=_needed(report, "kernel"),
            distribution=_distribution(report),
            arch=arch,
            bits=bits,
            libc=libc,
            libc_version=libc_version,
            model=model,
            core_kinds=core_kinds(report),
            features=features(report, arch, bits),
            cores=usable_cores(report),
            memory_mb=_mebibytes(memory.get("MemTotal")) or 0,
            available_mb=_mebibytes(memory.get("MemAvailable")),
            free_mb=_free_mebibytes(report),
            home=report.text("home"),  # as it is: a path that is altered is another
            pythons=_pythons(report),
            clock_policies=clock_policies(report),
            sensors=_sensors(report),
            boot_id=report.line("boot_id"),
            uptime_seconds=report.integer("uptime"),
            time=report.integer("time"),
            cuda=cuda_facts(report, model),
        )
    except DeviceError as error:
        raise RemoteError(f"the board's report makes no sense: {error}; is /proc mounted there?") from error


def _needed(report: Report, key: str) -> str:
    value = report.line(key)
    if value is None:
        raise RemoteError(f"the board's report does not tell its {key}; does `uname -a` work there?")
    return value


def _bits(report: Report, arch: str) -> int:
    """By getconf, else by the class in the header of /bin/sh, else by the architecture's name."""
    by_getconf = report.integer("long_bit")
    if by_getconf in (32, 64):
        return by_getconf
    by_header = {"01": 32, "02": 64}.get(report.text("elf_class").strip())
    return by_header or (64 if "64" in arch else 32)


def _libc(report: Report) -> tuple[str | None, tuple[int, int] | None]:
    text = report.text("libc")
    for kind, pattern in (("glibc", _GLIBC), ("musl", _MUSL)):
        found = pattern.search(text)
        if found is not None:
            return kind, (int(found[1]), int(found[2]))
    return ("musl", None) if "musl" in text else (None, None)


def _distribution(report: Report) -> str | None:
    words = report.fields("os_release", "=")
    return one_line(words.get("PRETTY_NAME", words.get("NAME", "")).strip("\"'")) or None


def _pythons(report: Report) -> tuple[Python, ...]:
    """In the probe's order. One whose path cannot be shown cannot be named to a user, and is left out."""
    found = (_PYTHON.fullmatch(line) for line in report.lines("python"))
    return tuple(
        Python((int(match[1]), int(match[2]), int(match[3])), match[6], int(match[4]), match[5] == "1")
        for match in found
        if match and match[6].isprintable()
    )


def _sensors(report: Report) -> tuple[str, ...]:
    named = [f"temperature: {name}" for name in report.shown("thermal")]
    named += [f"power: {name}" for name in report.shown("rail")]
    answers = report.lines("vcgencmd")
    named += ["throttling: vcgencmd"] if "throttled" in answers else []
    named += ["power: vcgencmd"] if "pmic" in answers else []
    return tuple(dict.fromkeys(named))


def _mebibytes(kibibytes: str | None) -> int | None:
    """Of meminfo's ``3884320 kB``."""
    found = re.match(r"(\d{1,18}) kB", kibibytes or "")
    return int(found[1]) // 1024 if found else None


def _free_mebibytes(report: Report) -> int | None:
    found = _FREE.search("\n".join(report.lines("df")[1:]))
    return int(found[1]) // 1024 if found else None
