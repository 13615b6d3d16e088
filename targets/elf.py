"""A relocatable ELF object that holds one blob of read-only data, written without any tool.

Layout and constants: the System V ABI, chapter "Object files" (ELF-64), and the machine numbers of the
x86-64 and AArch64 supplements.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from ..errors import TargetError
from .features import AARCH64, X86_64

ALIGNMENT = 4096
"""Bytes. A page, so that a part of the blob that is never read is never brought into memory."""

_MACHINES = {X86_64: 62, AARCH64: 183}
_FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")

_ET_REL, _EV_CURRENT = 1, 1
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_STRTAB = 1, 2, 3
_SHF_ALLOC = 2
_STB_GLOBAL_STT_OBJECT = (1 << 4) | 1

# Section names' string table, and each name's offset in it.
_NAMES = b"\0.rodata\0.note.GNU-stack\0.symtab\0.strtab\0.shstrtab\0"
_RODATA, _STACK_NOTE, _SYMTAB, _STRTAB, _SHSTRTAB = (
    _NAMES.index(name) for name in (b".rodata", b".note.GNU-stack", b".symtab", b".strtab", b".shstrtab")
)


@dataclass(frozen=True)
class _Section:
    """A section's fields, named as in Elf64_Shdr without the prefix."""

    name: int
    type: int
    body: bytes
    align: int
    flags: int = 0
    link: int = 0
    info: int = 0
    entry: int = 0

    def header(self, offset: int) -> bytes:
        """Return the section header for a body that lies at ``offset`` of the file."""
        return _SECTION_HEADER.pack(
            self.name,
            self.type,
            self.flags,
            0,  # no address before linking
            offset,
            len(self.body),
            self.link,
            self.info,
            self.align,
            self.entry,
        )


def data_object(blob: bytes | Path | str, symbol: str, arch: str) -> bytes:
    """Return a little-endian ELF64 relocatable object whose ``.rodata`` is ``blob``.

    ``blob`` is the bytes, or the path of a file that holds them. ``symbol`` is a global data symbol at
    its first byte, with its size; the section is aligned to :data:`ALIGNMENT`. The object asks for no
    executable stack. TargetError when ``arch`` is neither ``x86_64`` nor ``aarch64``.
    """
    if arch not in _MACHINES:
        raise TargetError(f"cannot write data objects for {arch!r}; supported: {', '.join(sorted(_MACHINES))}")
    data = Path(blob).read_bytes() if isinstance(blob, (str, os.PathLike)) else bytes(blob)

    names = b"\0" + symbol.encode("ascii") + b"\0"
    symbols = bytes(_SYMBOL.size) + _SYMBOL.pack(1, _STB_GLOBAL_STT_OBJECT, 0, 1, 0, len(data))

    sections = (
        _Section(_RODATA, _SHT_PROGBITS, data, ALIGNMENT, flags=_SHF_ALLOC),
        # An empty section of this name says that the object does not need an executable stack.
        _Section(_STACK_NOTE, _SHT_PROGBITS, b"", 1),
        # link: the section that holds the names, counted from 1; info: the first global symbol.
        _Section(_SYMTAB, _SHT_SYMTAB, symbols, 8, link=4, info=1, entry=_SYMBOL.size),
        _Section(_STRTAB, _SHT_STRTAB, names, 1),
        _Section(_SHSTRTAB, _SHT_STRTAB, _NAMES, 1),
    )
    content = bytearray(_FILE_HEADER.size)
    headers = [bytes(_SECTION_HEADER.size)]  # Section 0 is the undefined one.
    for section in sections:
        content.extend(bytes(-len(content) % section.align))
        headers.append(section.header(len(content)))
        content.extend(section.body)
    content.extend(bytes(-len(content) % 8))
    identification = b"\x7fELF" + bytes([2, 1, _EV_CURRENT, 0])  # 64-bit, little-endian, System V
    _FILE_HEADER.pack_into(
        content,
        0,
        identification.ljust(16, b"\0"),
        _ET_REL,
        _MACHINES[arch],
        _EV_CURRENT,
        0,
        0,
        len(content),
        0,
        _FILE_HEADER.size,
        0,
        0,
        _SECTION_HEADER.size,
        len(headers),
        len(headers) - 1,
    )
    return bytes(content) + b"".join(headers)
