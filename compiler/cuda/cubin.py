"""What the kernels of a cubin need of a multiprocessor, read from the file itself.

A cubin is an ELF file. NVIDIA does not document its sections; the numbers are those that `ptxas --verbose` prints, and
a test compares the two where nvcc is installed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import ToolchainError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SHT_SYMTAB = 2
_MAGIC, _MACHINE_OFFSET, _EM_CUDA = b"\x7fELF", 18, 190

# Attributes of `.nv.info`: a byte of form, a byte that names the attribute, and a value of 16 bits; with form 4 that
# is the size of what follows.
_SIZED = 4
_FRAME_SIZE, _REGISTERS = 0x11, 0x2F  # of a function: its symbol's index, then the value
_MAX_THREADS = 0x05  # of a kernel: three extents

# From sm_90 on there is this section, and the system's KiB is in every block's shared memory.
_RESERVED_SECTION = ".nv.shared.reserved.0"
_RESERVED_BYTES = 1024


@dataclass(frozen=True)
class KernelResources:
    """What a block of ``threads`` threads of one kernel takes.

    ``registers``: of a thread; ``local_bytes``: of a thread, for what registers do not hold (spills) or cannot index;
    ``shared_bytes``: of the block, without what a launch adds.
    """

    name: str
    registers: int
    local_bytes: int
    shared_bytes: int
    threads: int


def kernels_of(cubin: bytes) -> tuple[KernelResources, ...]:
    """The kernels of ``cubin``, by name. Raises ToolchainError for what is no such file."""
    try:
        return tuple(sorted(_kernels(dict(_sections(cubin))), key=lambda kernel: kernel.name))
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ToolchainError(
            f"the compiled kernels are in no form that is known here ({error!r}); "
            "install the CUDA release that requirements/lock.txt names"
        ) from error


def cubin_in(library: bytes) -> bytes | None:
    """The first cubin that lies uncompressed in ``library``; None where there is none."""
    start = library.find(_MAGIC)
    while start >= 0:
        # From there on, to whatever end: readers go by the offsets in the file.
        if struct.unpack_from("<H", library, start + _MACHINE_OFFSET)[0] == _EM_CUDA:
            return library[start:]
        start = library.find(_MAGIC, start + 1)
    return None


@dataclass(frozen=True)
class _Section:
    type: int
    size: int
    body: bytes
    link: str


def _sections(cubin: bytes) -> Iterator[tuple[str, _Section]]:
    header = _HEADER.unpack_from(cubin)
    if header[0][:4] != _MAGIC:
        raise KeyError("no ELF file")
    offset, count, names = header[6], header[12], header[13]
    rows = [_SECTION.unpack_from(cubin, offset + index * _SECTION.size) for index in range(count)]

    def name(row: tuple[int, ...]) -> str:
        return _text(cubin, rows[names][4] + row[0])

    for row in rows:
        _, kind, _, _, start, size, link = row[:7]
        yield name(row), _Section(kind, size, cubin[start : start + size], name(rows[link]) if link < count else "")


def _kernels(sections: dict[str, _Section]) -> Iterator[KernelResources]:
    symbols = _symbols(sections)
    registers = _of_functions(sections[".nv.info"].body, _REGISTERS, symbols)
    frames = _of_functions(sections[".nv.info"].body, _FRAME_SIZE, symbols)
    reserved = _RESERVED_BYTES if _RESERVED_SECTION in sections else 0
    for section in sections:
        kernel = section.removeprefix(".nv.info.")
        if kernel == section:
            continue
        x, y, z = struct.unpack("<3I", dict(_attributes(sections[section].body))[_MAX_THREADS])
        shared = sections.get(f".nv.shared.{kernel}")
        yield KernelResources(
            kernel, registers[kernel], frames[kernel], 0 if shared is None else shared.size - reserved, x * y * z
        )


def _symbols(sections: dict[str, _Section]) -> list[str]:
    table = next(section for section in sections.values() if section.type == _SHT_SYMTAB)
    names = sections[table.link].body
    return [_text(names, entry[0]) for entry in _SYMBOL.iter_unpack(table.body)]


def _of_functions(info: bytes, attribute: int, symbols: list[str]) -> dict[str, int]:
    found = (struct.unpack("<2I", value) for name, value in _attributes(info) if name == attribute)
    return {symbols[symbol]: value for symbol, value in found}


def _attributes(info: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(info):
        form, attribute, value = struct.unpack_from("<BBH", info, position)
        position += 4
        size = value if form == _SIZED else 0
        yield attribute, info[position : position + size]
        position += size


def _text(table: bytes, start: int) -> str:
    return table[start : table.index(b"\0", start)].decode()
