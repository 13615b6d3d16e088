"""Instruction-set features: the canonical names, what each implies, and what this machine has.

This module imports the standard library only: the runtime on a board uses it before it loads a model.

=============  =======================================================================================
``avx2``        the whole x86-64-v3 level (AVX2, FMA, BMI1, BMI2, F16C, LZCNT, MOVBE)
``avx512``      the whole x86-64-v4 level (AVX-512 F, BW, CD, DQ, VL)
``avx512_vnni`` vpdpbusd on 512-bit registers
``avx512_vbmi`` vpermb
``avx_vnni``    vpdpbusd on 256-bit registers, VEX-encoded
``amx_int8``    tdpbssd and its kin; only when the kernel grants the tile state
``neon``        Advanced SIMD, Armv8.0
``dotprod``     sdot, udot (implies Armv8.2)
``i8mm``        smmla, usmmla, usdot
``sve``         scalable vectors
``sve2``        scalable vectors, version 2
=============  =======================================================================================

``avx2`` and ``avx512`` mean whole levels because LLVM uses the whole level once a target names it.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

X86_64 = "x86_64"
AARCH64 = "aarch64"

IMPLIED: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        X86_64: MappingProxyType(
            {
                "avx2": frozenset(),
                "avx512": frozenset({"avx2"}),
                "avx512_vnni": frozenset({"avx512"}),
                "avx512_vbmi": frozenset({"avx512"}),
                "avx_vnni": frozenset({"avx2"}),
                "amx_int8": frozenset(),
            }
        ),
        AARCH64: MappingProxyType(
            {
                "neon": frozenset(),
                "dotprod": frozenset({"neon"}),
                "i8mm": frozenset({"dotprod"}),
                "sve": frozenset({"neon"}),
                "sve2": frozenset({"sve"}),
            }
        ),
    }
)
"""For every architecture: each canonical feature and the features that it directly implies."""

# /proc/cpuinfo's names for what a canonical feature needs, beyond what the features it implies need.
_X86_FLAGS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "avx2": frozenset({"avx", "avx2", "fma", "bmi1", "bmi2", "f16c", "abm", "movbe", "xsave"}),
        "avx512": frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
        "avx512_vnni": frozenset({"avx512_vnni"}),
        "avx512_vbmi": frozenset({"avx512vbmi"}),
        "avx_vnni": frozenset({"avx_vnni"}),
        "amx_int8": frozenset({"amx_tile", "amx_int8"}),
    }
)

# (auxiliary vector word, bit), from Linux's arch/arm64/include/uapi/asm/hwcap.h; word 0 is AT_HWCAP.
_AARCH64_BITS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"neon": (0, 1), "dotprod": (0, 20), "sve": (0, 22), "sve2": (1, 1), "i8mm": (1, 13)}
)

_AT_HWCAP, _AT_HWCAP2 = 16, 26
_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1023, 18


def close_features(arch: str, features: Iterable[str]) -> frozenset[str]:
    """Return ``features`` and everything that they imply. KeyError for a name that ``arch`` does not have."""
    implied = IMPLIED[arch]
    closed: set[str] = set()
    waiting = list(features)
    while waiting:
        feature = waiting.pop()
        if feature not in closed:
            closed.add(feature)
            waiting.extend(implied[feature])
    return frozenset(closed)


def x86_features(cpuinfo: str, *, amx_granted: bool) -> frozenset[str]:
    """Read the canonical features from the text of ``/proc/cpuinfo``: those that every core has.

    ``amx_granted`` says whether the kernel lets this process use the tile state.
    """
    cores = [frozenset(line.partition(":")[2].split()) for line in cpuinfo.splitlines() if line.startswith("flags")]
    flags = frozenset.intersection(*cores) if cores else frozenset()
    if not amx_granted:
        flags -= {"amx_int8"}
    own = {feature for feature, needed in _X86_FLAGS.items() if needed <= flags}
    return _drop_unfounded(X86_64, own)


def aarch64_features(hwcap: int, hwcap2: int) -> frozenset[str]:
    """Read the canonical features from the kernel's AT_HWCAP and AT_HWCAP2 words."""
    words = (hwcap, hwcap2)
    own = {feature for feature, (word, bit) in _AARCH64_BITS.items() if words[word] >> bit & 1}
    return _drop_unfounded(AARCH64, own)


def _drop_unfounded(arch: str, own: set[str]) -> frozenset[str]:
    """Keep a feature only when everything that it implies is there too (a hypervisor may mask some)."""
    return frozenset(feature for feature in own if close_features(arch, {feature}) <= own)


def host_arch() -> str:
    """Return this machine's architecture: ``x86_64``, ``aarch64``, or the platform's own name for another."""
    machine = platform.machine()
    return {"amd64": X86_64, "arm64": AARCH64}.get(machine.lower(), machine)


@functools.cache
def host_features() -> frozenset[str]:
    """Return the canonical features of this machine, as this process may use them. Empty when unknown."""
    arch = host_arch()
    if arch == X86_64:
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return frozenset()
        return x86_features(cpuinfo, amx_granted=" amx_int8" in cpuinfo and enable_amx())
    if arch == AARCH64:
        if not sys.platform.startswith("linux"):
            return frozenset({"neon"})  # Advanced SIMD is mandatory in every 64-bit Arm operating system.
        # getauxval and not /proc/cpuinfo: under user-mode emulation that file is the emulating machine's.
        getauxval = ctypes.CDLL(None).getauxval
        getauxval.restype = ctypes.c_ulong
        getauxval.argtypes = [ctypes.c_ulong]
        return aarch64_features(getauxval(_AT_HWCAP), getauxval(_AT_HWCAP2))
    return frozenset()


@functools.cache
def enable_amx() -> bool:
    """Ask the kernel to let this process use AMX tiles; return whether it does.

    Linux gives the 8 KB tile state only to processes that ask (arch_prctl ARCH_REQ_XCOMP_PERM, Linux
    5.16 and later). The grant holds for every thread and forked child, not across exec.
    """
    if not sys.platform.startswith("linux") or host_arch() != X86_64:
        return False
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    arguments = (_SYS_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA)
    return syscall(*(ctypes.c_long(argument) for argument in arguments)) == 0
