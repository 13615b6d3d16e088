"""Copies from global to shared memory, in pieces of 16 bytes: all at once, or less where it is aligned to less."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template


@dataclass(frozen=True)
class Copy:
    """How a piece of 16 bytes gets from ``source`` to ``target``: part by part by ``fetch``, and after the products of
    a stage by ``store``."""

    fetch: Template
    """``bytes`` from behind ``part`` bytes, zeros where not ``inside``; ``type`` is as wide, ``cache`` a level."""
    store: str = ""
    commit: str = ""
    wait: str = ""
    """Until all but ``PENDING`` of the committed copies are in shared memory."""

    def part(self, count: int) -> str:
        """Statements that fetch ``count`` bytes of a piece, one of :data:`COPIED_BYTES`."""
        # Past the first-level cache go 16 bytes and no fewer (PTX ISA, "cp.async").
        return self.fetch.substitute(bytes=count, type=_TYPES[count], cache="cg" if count == 16 else "ca")

    @property
    def piece(self) -> str:
        """Statements that bring a piece as a whole, and have no products to wait for."""
        return f"{{ const int copy = 0, part = 0; int4 fetched[1]; {self.part(16)} {self.store} }}"


ASYNC_COPY = Copy(
    Template(
        'asm volatile("cp.async.${cache}.shared.global [%0], [%1], ${bytes}, %2;" : : '
        '"r"((unsigned)__cvta_generic_to_shared(target + part)), "l"(source + part), "r"(inside ? ${bytes} : 0) : '
        '"memory");'
    ),
    commit='asm volatile("cp.async.commit_group;" : : : "memory");',
    wait='asm volatile("cp.async.wait_group PENDING;" : : : "memory");',
)
"""Passes no register: sm_80 and later."""
COPY_THROUGH_REGISTERS = Copy(
    Template("((${type}*)&fetched[copy])[part / ${bytes}] = inside ? *(const ${type}*)(source + part) : ${type}{};"),
    "*(int4*)target = fetched[copy];",
)
"""Through ``fetched``, while another stage is multiplied."""

_TYPES = {16: "int4", 8: "int2", 4: "int"}
COPIED_BYTES = tuple(_TYPES)
"""What may be copied at once, the most first."""
