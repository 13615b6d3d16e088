"""What the kernels of an artifact could reach at best on its GPU: occupancy and roofline, of numbers alone.

The roofline (Williams, Waterman and Patterson, 2009): a kernel takes as long as its multiply-adds at the rate of what
it multiplies with, or as its bytes at the rate of memory, whichever is longer. Blocks are whole: the busiest
multiprocessor has the blocks of the grid divided by the multiprocessors, rounded up, and the others wait for it.
Where the machine code has been read (:mod:`.warp_work`), there are two limits more: a multiprocessor issues four
instructions a cycle, those of the epilogue among them, and its shared memory serves one warp's access after the other.

Nothing is run and nothing measured. Each operand is taken to cross the memory once; caches, waiting, launches, and a
clock below the target's are no part of it: a board is slower.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import reduce
from types import MappingProxyType
from typing import Any

from ...errors import ArtifactError
from ...targets.cuda import WARP, Cuda
from ...targets.cuda_rates import Multiplier, int8_multiplier, macs_per_cycle, peak_gmacs
from ..artifact import Bucket, CudaRecord, GpuKernel, Manifest, StrategyRecord
from ..profile import across_layers_name
from .cubin import KernelResources
from .occupancy import PARTITIONS, resident_blocks
from .warp_work import WarpWork

_LIMITS = ("memory", "compute", "issue", "shared")
_MOST_BIT_PLANES = 8
"""Products of single bits in a multiply-add, one for each bit of an activation, where those were not recorded."""
_OLDER = "the artifact was compiled before its launches were recorded; compile it again"


@dataclass(frozen=True)
class KernelEstimate:
    """A kernel in one inference: ``calls`` launches of ``blocks`` blocks.

    ``resident_blocks``: those that a multiprocessor holds at once; ``waves``: by how much a launch exceeds what all
    of them hold; ``multiply_share``: of the instructions of the main loop, of all where it is unrolled. ``macs``,
    ``bytes`` and the milliseconds, one of each limit, are of all calls. None: the machine code has not been read, or
    nothing in it is for multiplying only.
    """

    operator: str
    kernel: str
    strategy: str
    calls: int
    blocks: int
    threads: int
    registers: int
    shared_bytes: int
    occupancy: float
    resident_blocks: int
    waves: float
    multiplier: Multiplier
    macs: int
    bytes: int
    compute_ms: float
    memory_ms: float
    issue_ms: float | None = None
    shared_ms: float | None = None
    multiply_share: float | None = None

    @property
    def limits(self) -> Mapping[str, float]:
        """The milliseconds of each limit that is known, by its name."""
        return {name: ms for name in _LIMITS if (ms := getattr(self, f"{name}_ms")) is not None}

    @property
    def ms(self) -> float:
        """At least."""
        return max(self.limits.values())

    @property
    def bound(self) -> str:
        """What it waits for: one of memory, compute (what multiplies), issue and shared memory."""
        return max(self.limits, key=lambda name: self.limits[name])

    @property
    def intensity(self) -> float:
        """Multiply-adds a byte."""
        return self.macs / self.bytes

    def __add__(self, other: KernelEstimate) -> KernelEstimate:
        """Calls of the same kernel."""
        return replace(
            self,
            calls=self.calls + other.calls,
            macs=self.macs + other.macs,
            bytes=self.bytes + other.bytes,
            compute_ms=self.compute_ms + other.compute_ms,
            memory_ms=self.memory_ms + other.memory_ms,
            issue_ms=_sum(self.issue_ms, other.issue_ms),
            shared_ms=_sum(self.shared_ms, other.shared_ms),
        )


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


@dataclass(frozen=True)
class ModelEstimate:
    """One inference on ``gpu``: its kernels, the slowest first."""

    target: str
    gpu: Cuda
    buckets: tuple[Bucket, ...]
    kernels: tuple[KernelEstimate, ...]

    @property
    def ms(self) -> float:
        """Of all kernels, one after the other."""
        return sum(kernel.ms for kernel in self.kernels)

    @property
    def macs(self) -> int:
        """Of all kernels."""
        return sum(kernel.macs for kernel in self.kernels)

    @property
    def bytes(self) -> int:
        """Of all kernels."""
        return sum(kernel.bytes for kernel in self.kernels)

    @property
    def peak_multiplier(self) -> Multiplier:
        """What multiplies 8-bit integers fastest on the chip."""
        return int8_multiplier(self.gpu)

    @property
    def peak_gmacs(self) -> float:
        """The chip's int8 peak, in multiply-adds a nanosecond."""
        peak = peak_gmacs(self.gpu, self.peak_multiplier)
        assert peak is not None, "every chip multiplies integers"
        return peak

    def share_of_peak(self, macs: int, ms: float) -> float:
        """``macs`` in ``ms`` as a part of the int8 peak."""
        return macs / (ms * 1e6) / self.peak_gmacs

    def to_json(self) -> dict[str, Any]:
        """A JSON document; what is derived from other numbers is in it too."""
        kernels = [
            {
                **asdict(kernel),
                "multiplier": kernel.multiplier.value,
                "intensity": kernel.intensity,
                "bound": kernel.bound,
                "ms": kernel.ms,
                "share": kernel.ms / self.ms,
                "share_of_peak": self.share_of_peak(kernel.macs, kernel.ms),
            }
            for kernel in self.kernels
        ]
        return {
            "source": "estimated",
            "target": self.target,
            "gpu": asdict(self.gpu),
            "peak": {"multiplier": self.peak_multiplier.value, "gmacs": self.peak_gmacs},
            "buckets": [asdict(bucket) for bucket in self.buckets],
            "ms": self.ms,
            "macs": self.macs,
            "bytes": self.bytes,
            "share_of_peak": self.share_of_peak(self.macs, self.ms),
            "kernels": kernels,
        }


def estimate(
    manifest: Manifest, gpu: Cuda, buckets: Iterable[Bucket], work: Mapping[str, WarpWork] = MappingProxyType({})
) -> ModelEstimate:
    """The estimate for one call of each of ``buckets``, the artifact's, on ``gpu``, whose code it has.

    ``work``: what the warps of its kernels issue, by name, as far as their code has been read.

    Raises ArtifactError for an artifact without a GPU's code, and for one of an earlier release.
    """
    if manifest.cuda is None:
        raise ArtifactError(
            f"the artifact for {manifest.target.name} runs on a CPU; only a GPU's kernels are estimated"
        )
    chosen = tuple(buckets)
    records = [
        record
        for bucket in chosen
        for record in manifest.strategies
        if record.operator.startswith(f"{bucket.function}/")
    ]
    launches = [launch for record in records for launch in _launches(record, manifest.cuda, gpu, work)]
    return ModelEstimate(manifest.target.name, gpu, chosen, slowest_first(launches))


def slowest_first(kernels: Iterable[KernelEstimate]) -> tuple[KernelEstimate, ...]:
    """One entry for each operator and kernel, ordered by time."""
    alike: dict[tuple[str, str], list[KernelEstimate]] = {}
    for kernel in kernels:
        alike.setdefault((kernel.operator, kernel.kernel), []).append(kernel)
    added = (reduce(KernelEstimate.__add__, each) for each in alike.values())
    return tuple(sorted(added, key=lambda kernel: -kernel.ms))


def across_layers(kernels: Iterable[KernelEstimate]) -> tuple[KernelEstimate, ...]:
    """As :func:`slowest_first`, what the layers have in common as one entry."""
    return slowest_first(replace(kernel, operator=across_layers_name(kernel.operator)) for kernel in kernels)


def _launches(
    record: StrategyRecord, cuda: CudaRecord, gpu: Cuda, work: Mapping[str, WarpWork]
) -> Iterator[KernelEstimate]:
    """Of one call. What an operator of several launches multiplies and moves is taken to be shared evenly."""
    if record.function is None or record.macs is None or record.bytes is None:
        raise ArtifactError(_OLDER)
    of_function = re.compile(rf"{re.escape(record.function)}_kernel(_\d+)?")
    kernels = [kernel for kernel in cuda.kernels if of_function.fullmatch(kernel.name)]
    for kernel in kernels:
        macs, size = record.macs // len(kernels), record.bytes // len(kernels)
        yield _launch(record, kernel, gpu, macs, size, work.get(kernel.name))


def _launch(
    record: StrategyRecord, kernel: GpuKernel, gpu: Cuda, macs: int, size: int, work: WarpWork | None
) -> KernelEstimate:
    if kernel.blocks is None or kernel.multiplier is None:
        raise ArtifactError(_OLDER)
    resources = KernelResources(kernel.name, kernel.registers, kernel.local_bytes, kernel.shared_bytes, kernel.threads)
    resident = resident_blocks(resources, gpu.architecture)
    multiplier = Multiplier(kernel.multiplier)
    rate = macs_per_cycle(gpu, multiplier)
    assert rate is not None, f"{kernel.name} multiplies by {multiplier.value}, which {gpu.name} lacks"
    planes = record.activation_bits or _MOST_BIT_PLANES
    products = macs * (planes if multiplier is Multiplier.BMMA else 1)
    blocks_of_the_busiest = -(-kernel.blocks // gpu.multiprocessors)
    warps_of_the_busiest = blocks_of_the_busiest * -(-kernel.threads // WARP)
    of_a_warp = products * blocks_of_the_busiest / kernel.blocks / warps_of_the_busiest

    def milliseconds(cycles_of_a_warp: float) -> float:
        return warps_of_the_busiest * cycles_of_a_warp / gpu.clock_mhz / 1e3

    return KernelEstimate(
        operator=record.operator.partition("/")[2],
        kernel=kernel.name,
        strategy=record.strategy,
        calls=1,
        blocks=kernel.blocks,
        threads=kernel.threads,
        registers=kernel.registers,
        shared_bytes=kernel.shared_bytes,
        occupancy=kernel.occupancy,
        resident_blocks=resident,
        waves=kernel.blocks / (resident * gpu.multiprocessors),
        multiplier=multiplier,
        macs=macs,
        bytes=size,
        compute_ms=milliseconds(of_a_warp / rate),
        memory_ms=size / gpu.bandwidth_gbs / 1e6,
        issue_ms=None if work is None else milliseconds(work.issue_cycles(of_a_warp) / PARTITIONS),
        shared_ms=None if work is None else milliseconds(work.shared_cycles(of_a_warp)),
        multiply_share=None if work is None else work.multiply_share,
    )
