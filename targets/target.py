"""Target: what the compiler has to know about a machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import TargetError
from .cuda import MAX_THREADS_PER_BLOCK, STATIC_SHARED_BYTES, WARP, Cuda, Release
from .features import IMPLIED, close_features

if TYPE_CHECKING:
    from tvm.target import Target as TVMTarget

# LLVM's attributes that switch a canonical feature on. What an x86-64 level or an Arm CPU brings is
# repeated here on purpose: a feature that is named is compiled for, whatever ``cpu`` says.
_LLVM_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "avx2": ("+avx2", "+fma", "+bmi", "+bmi2", "+f16c", "+lzcnt", "+movbe"),
    # LLVM prefers 256-bit registers on several CPUs whose first generation lowered its clock for wider ones.
    "avx512": ("+avx512f", "+avx512bw", "+avx512cd", "+avx512dq", "+avx512vl", "-prefer-256-bit"),
    "avx512_vnni": ("+avx512vnni",),
    "avx512_vbmi": ("+avx512vbmi",),
    "avx_vnni": ("+avxvnni",),
    "amx_int8": ("+amx-tile", "+amx-int8"),
    "neon": ("+neon",),
    "dotprod": ("+dotprod",),
    "i8mm": ("+i8mm",),
    "sve": ("+sve",),
    "sve2": ("+sve2",),
}

# LLVM's schedules for these cores keep more values alive than there are vector registers: full register tiles are
# spilled, a third more instructions. Generic code is made for a core of their kind too, and has none of that.
_GENERIC_IS_BETTER = frozenset({"cortex-a35", "cortex-a53", "carmel"})

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_ATTRIBUTE = re.compile(r"[+-][a-z0-9.-]+")


@dataclass(frozen=True)
class Target:
    """A machine to compile for.

    ``triple`` and ``cpu`` are LLVM's names (mtriple, mcpu). ``features`` are canonical names (see
    :mod:`.features`), closed under implication on construction. ``cores`` is how many threads are worth
    starting; ``memory_mb`` the RAM in MiB of the smallest machine of the kind, None when they vary.
    ``attributes`` are further LLVM attributes, such as ``-lse``. ``models`` are the beginnings or other whole
    words of the names that such machines give themselves in their device tree ("Raspberry Pi 4"); the compiler
    does not need them, choosing a preset does. ``cuda`` is the GPU that runs the operators; None: the CPU does.

    Raises TargetError when a field is invalid or a feature does not belong to ``arch``.
    """

    name: str
    description: str
    arch: str
    triple: str
    cpu: str
    features: frozenset[str] = frozenset()
    cores: int = 1
    memory_mb: int | None = None
    attributes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    cuda: Cuda | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise TargetError(f"target name {self.name!r} is invalid: use lower-case letters, digits, '.', '_' and '-'")
        if self.arch not in IMPLIED:
            raise self._invalid("arch", self.arch, f"one of {', '.join(sorted(IMPLIED))}")
        if self.triple.partition("-")[0] != self.arch:
            raise self._invalid("triple", self.triple, f"an LLVM triple that starts with {self.arch}-")
        if not self.cpu:
            raise self._invalid("cpu", self.cpu, "an LLVM CPU name, such as cortex-a72 or x86-64-v3")
        unknown = sorted(set(self.features) - set(IMPLIED[self.arch]))
        if unknown:
            raise self._invalid("features", ", ".join(unknown), f"some of {', '.join(IMPLIED[self.arch])}")
        if self.cores < 1:
            raise self._invalid("cores", self.cores, "at least 1")
        if self.memory_mb is not None and self.memory_mb < 1:
            raise self._invalid("memory_mb", self.memory_mb, "at least 1")
        for attribute in self.attributes:
            if not _ATTRIBUTE.fullmatch(attribute):
                raise self._invalid("attributes", attribute, "LLVM attributes, such as +crc or -lse")
        for model in self.models:
            if not model.strip() or not model.isprintable():
                raise self._invalid("models", model, 'names of machines, such as "Raspberry Pi 4"')
        object.__setattr__(self, "features", close_features(self.arch, self.features))

    def _invalid(self, field: str, value: object, expected: str) -> TargetError:
        return TargetError(f"target {self.name}: {field} is {value!r}; expected {expected}")

    @property
    def llvm_cpu(self) -> str:
        """The CPU for which LLVM chooses and orders instructions."""
        return "generic" if self.cpu in _GENERIC_IS_BETTER else self.cpu

    def llvm_attributes(self) -> tuple[str, ...]:
        """Return LLVM's attributes (mattr): those of the features, then ``attributes``, which win."""
        canonical = [
            attribute
            for feature in IMPLIED[self.arch]
            if feature in self.features
            for attribute in _LLVM_ATTRIBUTES[feature]
        ]
        return (*canonical, *self.attributes)

    @property
    def kernel_features(self) -> frozenset[str]:
        """The features of what runs the operators: the GPU where there is one, else the CPU."""
        return self.features if self.cuda is None else self.cuda.features

    @property
    def tuning_features(self) -> frozenset[str]:
        """What tells the records of a tuning log apart: the features of what runs the operators, of a GPU its chip too:
        one with the same features and other sizes has other best schedules."""
        return self.features if self.cuda is None else self.cuda.features | {self.cuda.name}

    @property
    def kernel_threads(self) -> int:
        """How many threads of the CPU are worth giving to a kernel: one a core, one in all where a GPU computes."""
        return self.cores if self.cuda is None else 1

    def for_driver(self, release: Release | None) -> Target:
        """The target whose GPU has a driver of this CUDA release; itself where that is None, or there is no GPU."""
        if self.cuda is None or release is None:
            return self
        return replace(self, cuda=replace(self.cuda, driver=release))

    def require_cpu(self, purpose: str) -> None:
        """Raises TargetError where a GPU runs the operators: ``purpose`` is what only kernels of a CPU can be."""
        if self.cuda is not None:
            raise TargetError(
                f"{self.name} runs the operators on a GPU ({self.cuda.name}), whose kernels cannot be {purpose}; name "
                "a target without one (`intbert targets` lists them), for a Jetson its name with -cpu"
            )

    def tvm(self) -> TVMTarget:
        """Return TVM's target: of kind cuda, with the CPU as its host, where there is a GPU; else that of the CPU.

        Imports tvm. Raises as :meth:`tvm_host`.
        """
        from tvm.target import Target as TVMTarget

        host = self.tvm_host()
        if self.cuda is None:
            return host
        return TVMTarget(
            {
                "kind": "cuda",
                "arch": self.cuda.name,
                "max_threads_per_block": MAX_THREADS_PER_BLOCK,
                "max_num_threads": MAX_THREADS_PER_BLOCK,
                "max_shared_memory_per_block": STATIC_SHARED_BYTES,
                "thread_warp_size": WARP,
                "registers_per_block": self.cuda.architecture.registers_per_block,
            },
            host=host,
        )

    def tvm_host(self) -> TVMTarget:
        """Return TVM's target of the CPU (kind llvm). Imports tvm. TargetError when TVM or its LLVM refuses it."""
        from tvm.target import Target as TVMTarget
        from tvm.target.codegen import llvm_is_valid_cpu

        if not llvm_is_valid_cpu(self.cpu, self.triple):
            raise self._invalid("cpu", self.cpu, f"a CPU that LLVM knows for {self.triple}")
        return TVMTarget(
            {
                "kind": "llvm",
                "mtriple": self.triple,
                "mcpu": self.llvm_cpu,
                "mattr": list(self.llvm_attributes()),
                "num-cores": self.cores,
            }
        )
