"""Which file an address belongs to: the memory map of the emulated process."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mapping:
    """Addresses from ``start`` to before ``end`` hold ``file`` from ``offset`` on."""

    start: int
    end: int
    offset: int
    file: str


class AddressSpace:
    """The mapped files of a process, executable ones only."""

    def __init__(self, mappings: Sequence[Mapping]) -> None:
        self._mappings = sorted(mappings, key=lambda mapping: mapping.start)
        self._starts = [mapping.start for mapping in self._mappings]

    def locate(self, address: int) -> tuple[str, int] | None:
        """File and offset in it; None for memory that no file is mapped to."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._mappings[index].end:
            return None
        found = self._mappings[index]
        return found.file, address - found.start + found.offset


def parse_maps(text: str) -> AddressSpace:
    """The text of ``/proc/PID/maps``."""
    mappings = []
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        if len(words) == 6 and "x" in words[1] and words[5].startswith("/"):
            start, end = (int(word, 16) for word in words[0].split("-"))
            mappings.append(Mapping(start, end, int(words[2], 16), words[5]))
    return AddressSpace(mappings)
