"""NVIDIA GPUs: what a chip of each compute capability can hold and issue, and the features that schedules ask for.

This module imports the standard library only: the runtime on a board uses it before it loads a model.

===========  ==========================================================================================
``cuda``      any NVIDIA GPU
``dp4a``      four int8 products added to an int32 in one instruction (sm_62: in seven, made of one of PTX)
``imma``      8-bit tensor-core products (wmma, PTX ISA: sm_72 and later)
``ldmatrix``  8 x 8 matrices from shared memory to the fragments of a warp (sm_75 and later)
``imma_s4``   4-bit tensor-core products in hardware: sm_75 to sm_89, what PTX offers on later ones is emulated
``bmma``      1-bit tensor-core products, xor and popcount, likewise
``bmma_and``  the same with and (sm_80 to sm_89)
``mma_k32``   mma.sync.m16n8k32 on 8-bit values (sm_80 and later)
``cp_async``  copies from global to shared memory that pass no register (sm_80 and later)
===========  ==========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import TargetError

Release = tuple[int, int]
"""Of CUDA: its major and its minor version."""

CUDA = "cuda"
WARP = 32
MAX_THREADS_PER_BLOCK = 1024
STATIC_SHARED_BYTES = 48 * 1024
"""What a block may declare; more must be dynamic, and asked for at the launch."""
REGISTER_UNIT = 256
"""Registers are given to warps in such pieces, on every chip."""


@dataclass(frozen=True)
class Architecture:
    """The limits of one multiprocessor, and what it multiplies in a clock cycle.

    ``shared_bytes``: of a multiprocessor, of which a block gets at most ``shared_bytes_per_block``; each block takes
    ``reserved_shared_bytes`` more, and what it takes is a multiple of ``shared_unit``. ``int8_macs``: multiply-adds a
    cycle on dense int8 tensor cores, by mma.sync; None without tensor cores for int8.
    """

    warps: int
    blocks: int
    registers: int
    registers_per_block: int
    shared_bytes: int
    shared_bytes_per_block: int
    reserved_shared_bytes: int
    shared_unit: int
    int8_macs: int | None

    def __post_init__(self) -> None:
        assert 1 <= self.blocks <= self.warps
        assert self.registers_per_block <= self.registers
        assert self.registers % REGISTER_UNIT == 0
        assert STATIC_SHARED_BYTES <= self.shared_bytes_per_block <= self.shared_bytes - self.reserved_shared_bytes
        assert self.int8_macs is None or self.int8_macs > 0


def _older(
    warps: int,
    blocks: int,
    shared_kib: int,
    per_block_kib: int,
    int8_macs: int | None,
    registers_per_block: int = 2**16,
) -> Architecture:
    """Chips before 8.0."""
    shared, per_block = shared_kib * 1024, per_block_kib * 1024
    return Architecture(warps, blocks, 2**16, registers_per_block, shared, per_block, 0, 256, int8_macs)


def _newer(warps: int, blocks: int, shared_kib: int, int8_macs: int) -> Architecture:
    """Chips from 8.0 on: the system keeps a KiB of every block's shared memory, and one block may have all the rest."""
    shared = shared_kib * 1024
    return Architecture(warps, blocks, 2**16, 2**16, shared, shared - 1024, 1024, 128, int8_macs)


# Limits: "Technical Specifications per Compute Capability" of the CUDA C++ Programming Guide, and the toolkit's
# cuda_occupancy.h. int8_macs follow from the makers' dense int8 TOPS, divided by 2, multiprocessors and clock: Jetson
# AGX Xavier (22 TOPS of 8 at 1.377 GHz), T4 (130, 40, 1.59), A100 (624, 108, 1.41), RTX 3090 (284, 82, 1.695), Jetson
# AGX Orin (85, 16, 1.3), RTX 4090 (661, 128, 2.52), H100 (1979, 132, 1.83, by wgmma; mma.sync gets no more than half),
# Jetson T5000 (517, 20, 1.575, by tcgen05; mma.sync is taken to reach what it does on its predecessor).
ARCHITECTURES: Mapping[int, Architecture] = MappingProxyType(
    {
        53: _older(64, 32, 64, 48, None, registers_per_block=2**15),
        62: _older(64, 32, 64, 48, None, registers_per_block=2**15),
        72: _older(64, 32, 96, 96, 1024),
        75: _older(32, 16, 64, 64, 1024),
        80: _newer(64, 32, 164, 2048),
        86: _newer(48, 16, 100, 1024),
        87: _newer(48, 16, 164, 2048),
        89: _newer(48, 24, 100, 1024),
        90: _newer(64, 32, 228, 2048),
        110: _newer(48, 24, 228, 2048),
    }
)
"""By compute capability: 87 is 8.7."""

# The first compute capability that has a feature, and the last one that has it in hardware (None: still).
_FEATURES: Mapping[str, tuple[int, int | None]] = MappingProxyType(
    {
        CUDA: (0, None),
        "dp4a": (61, None),
        "imma": (72, None),
        "ldmatrix": (75, None),
        "imma_s4": (75, 89),
        "bmma": (75, 89),
        "bmma_and": (80, 89),
        "mma_k32": (80, None),
        "cp_async": (80, None),
    }
)
FEATURES = frozenset(_FEATURES)


@dataclass(frozen=True)
class Cuda:
    """The GPU of a target: a chip of compute capability ``sm`` (87 is 8.7) with ``multiprocessors`` at ``clock_mhz``.

    ``bandwidth_gbs``: of its memory, in 10^9 bytes a second. These three choose default tiles and make estimates; no
    result depends on them. ``driver``: the CUDA release of the driver that is to load the code; None where it is not
    known.
    Raises TargetError for an unknown ``sm``, and for numbers that are not positive.
    """

    sm: int
    multiprocessors: int
    clock_mhz: int
    bandwidth_gbs: float
    driver: Release | None = None

    def __post_init__(self) -> None:
        if self.sm not in ARCHITECTURES:
            known = ", ".join(f"{sm}" for sm in ARCHITECTURES)
            raise TargetError(
                f"cuda.sm is {self.sm!r}, a compute capability that is not known here; known: {known} (87 is 8.7). "
                "Take the nearest smaller one of the same generation: its PTX runs on later chips"
            )
        for field in ("multiprocessors", "clock_mhz", "bandwidth_gbs"):
            if not getattr(self, field) > 0:
                raise TargetError(f"cuda.{field} is {getattr(self, field)!r}; it must be positive")

    @property
    def name(self) -> str:
        """As compilers call the chip: ``sm_87``."""
        return f"sm_{self.sm}"

    @property
    def architecture(self) -> Architecture:
        """The limits of a multiprocessor."""
        return ARCHITECTURES[self.sm]

    @property
    def features(self) -> frozenset[str]:
        """What schedules may use; see the module's table."""
        return frozenset(
            name for name, (first, last) in _FEATURES.items() if first <= self.sm and (last is None or self.sm <= last)
        )


def runs_code_of(device: int, sm: int) -> bool:
    """Whether a chip of compute capability ``device`` runs the machine code made for ``sm``.

    Machine code runs on later chips of the same generation, but the chips of Jetsons and those of cards are apart
    (CUDA compatibility guide): elsewhere the driver must compile the PTX.
    """
    return device == sm or (device // 10 == sm // 10 and device > sm and (device in _JETSONS) == (sm in _JETSONS))


_JETSONS = frozenset({53, 62, 72, 87, 110})


def loads_machine_code(driver: Release, compiler: Release) -> bool:
    """Whether a driver of one CUDA release loads the machine code of a compiler of another: it does up to its own major
    version, whatever the minor ones are (CUDA Compatibility, "Minor Version Compatibility")."""
    return compiler[0] <= driver[0]


def compiles_ptx(driver: Release, compiler: Release) -> bool:
    """Whether a driver of one CUDA release compiles the PTX of a compiler of another: each minor version may bring a
    version of PTX that earlier drivers refuse (the same, "Limitations")."""
    return compiler <= driver


def parse_release(text: str) -> Release:
    """``"12.6"``, or ``"12"`` for any 12, as a CUDA release.

    Raises TargetError for what is none, a driver's own version (``"540.4.0"``) among it.
    """
    found = _RELEASE.fullmatch(text)
    if found is None:
        raise TargetError(
            f"{text!r} is no CUDA release, such as 12 or 12.6; `nvidia-smi` shows that of a driver as its CUDA version"
        )
    return int(found[1]), int(found[2] or 0)


_RELEASE = re.compile(r"(\d{1,2})(?:\.(\d{1,2}))?")
