"""Whether a board can run the runtime, and what to do where it cannot."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import UnsuitableBoardError
from ...targets.features import IMPLIED
from .facts import BoardFacts, Python

OLDEST_GLIBC = (2, 27)
"""What the Linux wheels of apache-tvm 0.27.0.post1 are tagged with (manylinux_2_27); the others ask for less."""
OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON = (3, 14)
"""The last for which apache-tvm-ffi 0.1.14.post1 has wheels."""
LEAST_FREE_MB = 200
"""MiB on the disk of the home: the runtime's wheels, what they unpack to, and a model."""

_INSTALL_PYTHON = (
    "install one (`sudo apt install python3.11 python3.11-venv` where the system has it; anywhere "
    "`curl -LsSf https://astral.sh/uv/install.sh | sh`, then `uv python install 3.11`)"
)


def problems(facts: BoardFacts) -> list[str]:
    """Every reason why the runtime cannot run on the board, each with its remedy; none when it can."""
    if facts.system != "Linux":  # what else is wrong with it is of no interest then
        return [f"it runs {facts.system}; intbert needs Linux, install one or use another board"]
    found = (rule(facts) for rule in _RULES)
    return [problem for problem in found if problem is not None]


def require_fit(facts: BoardFacts) -> None:
    """Raises UnsuitableBoardError, naming every problem, when the runtime cannot run on the board."""
    found = problems(facts)
    if found:
        name = facts.model or facts.distribution or f"this {facts.arch} machine"
        raise UnsuitableBoardError(f"{name} cannot run intbert: {'; and '.join(found)}")


def best_python(facts: BoardFacts) -> Python | None:
    """The newest Python that the runtime can be installed for, of equals the first found; None without any."""
    suitable = [python for python in facts.pythons if python.has_venv and _is_usable(python, facts)]
    return max(suitable, key=lambda python: python.version, default=None)


def _is_usable(python: Python, facts: BoardFacts) -> bool:
    """But for its venv module."""
    return OLDEST_PYTHON <= python.version[:2] <= NEWEST_PYTHON and python.bits == facts.bits


def _architecture(facts: BoardFacts) -> str | None:
    is_raspberry = "raspberry pi" in (facts.model or "").lower()
    if facts.arch == "armv6l":
        return (
            "its processor is 32-bit (armv6l) and can never run intbert; "
            "use a 64-bit board, such as a Raspberry Pi Zero 2 W, or a 3 or later"
        )
    if facts.bits == 32 or facts.arch in ("armv7l", "armv8l", "i386", "i486", "i586", "i686"):
        system = "the 64-bit Raspberry Pi OS" if is_raspberry else "a 64-bit system"
        kernel = f"its {facts.arch} kernel runs {facts.bits}-bit programs"
        return f"its system is 32-bit ({kernel}); install {system}"
    if facts.arch not in IMPLIED:
        return f"its processor is {facts.arch}; intbert runs on {' and '.join(sorted(IMPLIED))}, use another board"
    return None


def _c_library(facts: BoardFacts) -> str | None:
    needed = ".".join(map(str, OLDEST_GLIBC))
    if facts.libc == "musl":
        return f"its C library is musl, the runtime needs glibc {needed}; install a system with glibc, such as Debian"
    if facts.libc_version is None:
        return f"its C library cannot be told, the runtime needs glibc {needed}; install Debian's package libc-bin"
    if facts.libc_version < OLDEST_GLIBC:
        own = ".".join(map(str, facts.libc_version))
        return f"its glibc is {own}, the runtime needs {needed}; upgrade to Debian 10, Ubuntu 18.04 or later"
    return None


def _python(facts: BoardFacts) -> str | None:
    if best_python(facts) is not None:
        return None
    without_venv = max(
        (python for python in facts.pythons if _is_usable(python, facts)),
        key=lambda python: python.version,
        default=None,
    )
    if without_venv is not None:
        package = "python{}.{}-venv".format(*without_venv.version)
        return f"{without_venv.path} ({without_venv.version_text}) lacks the venv module; `sudo apt install {package}`"
    found = ", ".join(f"{python.version_text} at {python.path}" for python in facts.pythons) or "no Python at all"
    oldest, newest = (".".join(map(str, version)) for version in (OLDEST_PYTHON, NEWEST_PYTHON))
    return f"it has {found}, the runtime needs Python {oldest} to {newest}; {_INSTALL_PYTHON}"


def _disk(facts: BoardFacts) -> str | None:
    if facts.free_mb is None:
        return f"the free space at {facts.home} cannot be told; does that folder exist?"
    if facts.free_mb < LEAST_FREE_MB:
        return f"{facts.free_mb} MB are free at {facts.home}, the runtime needs {LEAST_FREE_MB} MB; make room there"
    return None


_RULES: tuple[Callable[[BoardFacts], str | None], ...] = (_architecture, _c_library, _python, _disk)
