"""What a fatbin holds. NVIDIA documents the format nowhere; these are the fields that its tools print."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = 0xBA55ED50
PTX, MACHINE_CODE = 1, 2
_HEADER = struct.Struct("<IHHQ")  # magic number, version, bytes of this header, bytes of all entries
_ENTRY = struct.Struct("<HHIQI8xI8xQ")  # kind, version, bytes of this header, of the payload, compressed, chip, flags
_LZ4, _ZSTANDARD = 0x2000, 0x8000


@dataclass(frozen=True)
class Entry:
    """``kind``: PTX or machine code, for the chip of compute capability ``chip``; ``compression`` of its payload."""

    kind: int
    chip: int
    compression: str | None
    payload: bytes


def entries_of(fatbin: bytes) -> list[Entry]:
    """All entries of a fatbin at the beginning of ``fatbin``, in their order."""
    magic, _, header, size = _HEADER.unpack_from(fatbin)
    assert magic == MAGIC, "no fatbin"
    found, position = [], header
    while position < header + size:
        kind, _, start, length, _, chip, flags = _ENTRY.unpack_from(fatbin, position)
        compression = "LZ4" if flags & _LZ4 else "Zstandard" if flags & _ZSTANDARD else None
        found.append(Entry(kind, chip, compression, fatbin[position + start : position + start + length]))
        position += start + length
    assert position == header + size
    return found
