"""apache-tvm's wheel without what a board never loads: the compiler, Python code, headers (95 MB to 1.7 MB)."""

from __future__ import annotations

from pathlib import Path

from ...compiler.runtime.driver import TVM_CUDA
from ...compiler.runtime.library import LIBRARY
from ...errors import ToolchainError
from .wheel_format import WheelName, member_names, read_members, wheel_bytes

LABEL = "intbert.runtime"
"""The local version (PEP 440) of the slim wheel: what asks for the plain version takes it, and nobody takes it for
the whole of apache-tvm."""

LIBRARIES = tuple(f"tvm/lib/{name}" for name in (LIBRARY, "libtvm_runtime_extra.so", TVM_CUDA))

# The runtime looks for the package to find the library, and imports nothing of it.
_STAND_IN = b'''"""Stands for the package tvm: only its runtime library is installed here."""

raise ImportError("only the runtime library of apache-tvm is installed here, by intbert; `pip install apache-tvm`")
'''

RULES = repr((LABEL, LIBRARIES, _STAND_IN))
"""Changes whenever another slim wheel is made of the same whole one."""


def slim(whole: Path, folder: Path) -> Path:
    """Writes the slim wheel of the wheel ``whole`` into ``folder``; always the same bytes.

    It holds :data:`LIBRARIES`, a stand-in for the package ``tvm``, and the metadata with licences. Raises
    ToolchainError when the wheel is damaged, lacks a library, or holds names that lead out of it.
    """
    name = WheelName.parse(whole.name)
    slim_name = WheelName(name.distribution, f"{name.version}+{LABEL}", name.tags)
    names = member_names(whole)
    metadata = [path for path in names if path.startswith(f"{name.folder}/") and path != f"{name.folder}/RECORD"]
    members = read_members(whole, [*LIBRARIES, *metadata])
    moved = {slim_name.folder + path.removeprefix(name.folder): members.pop(path) for path in metadata}
    described = f"{slim_name.folder}/METADATA"
    if described not in moved:
        raise ToolchainError(f"{whole.name} has no METADATA; this is not the wheel that intbert knows")
    moved[described] = _with_version(moved[described], slim_name.version)
    path = folder / str(slim_name)
    path.write_bytes(wheel_bytes(slim_name, {**members, **moved, "tvm/__init__.py": _STAND_IN}))
    return path


def _with_version(metadata: bytes, version: str) -> bytes:
    headers, separator, description = metadata.partition(b"\n\n")
    lines = [b"Version: " + version.encode() if line.startswith(b"Version:") else line for line in headers.split(b"\n")]
    return b"\n".join(lines) + separator + description
