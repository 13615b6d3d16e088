"""Measures a machine's peak for a profile: builds the kernels of :mod:`..compiler.peak` here, and times them there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import ArtifactTarget, CudaRecord, Manifest
from ..compiler.profile import GpuPeak, Peak, ThreadPeak
from ..compiler.runtime.driver import FoundGpu, GpuSize, found_gpu, gpu_size
from ..errors import ToolchainError
from ..targets.cuda import Cuda
from .on_board.kernels import KernelArguments, Request, device, measure
from .telemetry import CPU, GPU, Sensors

if TYPE_CHECKING:
    from ..compiler.peak import PeakKernel
    from .sessions.session import Session

REQUEST = Request(outputs=1, threads=1, repeats=15, least_ms=3.0)
"""The best sample counts: nothing makes a machine faster than it is."""
GPU_REQUEST = replace(REQUEST, on_gpu=True, least_ms=20.0)
"""A governor that has lowered a GPU's clock has time to raise it again."""

_NEEDS = "the peak of a GPU is measured on it"


def peak_here(manifest: Manifest) -> Peak:
    """The peak of this machine, which can run the artifact of ``manifest``: of its GPU where that runs the operators,
    else of one thread.

    Raises ToolchainError where there is no compiler, linker or instruction to measure it with, and where the kernel
    does not compute what it should; ArtifactError where there is no GPU.
    """
    return _peak(manifest, _ThisMachine())


def peak_on(session: Session, manifest: Manifest) -> Peak:
    """As :func:`peak_here`, of the board of ``session``; raises what the session raises, too."""
    return _peak(manifest, _Board(session))


class _Place(ABC):
    """Where kernels are measured."""

    @abstractmethod
    def measure(self, library: Path, arguments: Path, request: Request) -> Mapping[str, Any]:
        """What :func:`.on_board.kernels.measure` gives there."""

    @abstractmethod
    def gpu(self) -> tuple[FoundGpu, GpuSize]:
        """The first GPU there."""


class _ThisMachine(_Place):
    def measure(self, library: Path, arguments: Path, request: Request) -> Mapping[str, Any]:
        sensors = Sensors(cpus=os.sched_getaffinity(0), processor=GPU if request.on_gpu else CPU)
        return measure(library, KernelArguments(arguments, device(request.on_gpu)), sensors, request)

    def gpu(self) -> tuple[FoundGpu, GpuSize]:
        return found_gpu(_NEEDS), gpu_size(_NEEDS)


@dataclass(frozen=True)
class _Board(_Place):
    session: Session

    def measure(self, library: Path, arguments: Path, request: Request) -> Mapping[str, Any]:
        self.session.put(library.name, library)
        self.session.put(arguments.name, arguments)
        return self.session.measure_kernel(library.name, arguments.name, asdict(request))

    def gpu(self) -> tuple[FoundGpu, GpuSize]:
        return self.session.gpu(), self.session.gpu_size()


@dataclass(frozen=True)
class _Reached:
    """By ``kernel``: its work in a nanosecond, and the conditions after it."""

    kernel: PeakKernel
    rate: float
    conditions: Mapping[str, Any]


def _peak(manifest: Manifest, place: _Place) -> Peak:
    try:
        from ..compiler import peak
    except ImportError as error:
        raise ToolchainError(
            f"TVM's compiler is not installed here ({error}); profile with --device from a machine that has it"
        ) from None
    if manifest.cuda is not None:
        return _gpu_peak(manifest.target, manifest.cuda, place)
    reached = _reached(peak.best_instruction(manifest.target).kernel(), manifest.target, None, place)
    return ThreadPeak(reached.kernel.name, reached.rate)


def _gpu_peak(target: ArtifactTarget, record: CudaRecord, place: _Place) -> Peak:
    from ..compiler.cuda.peak import copying, multiplications, multiplying

    found, size = place.gpu()
    # No code depends on the clock and the bandwidth.
    cuda = Cuda(record.sm, size.multiprocessors, clock_mhz=1, bandwidth_gbs=1.0, driver=found.release)
    kernels = [multiplying(each, size.multiprocessors) for each in multiplications(cuda)]
    best = max((_reached(kernel, target, cuda, place) for kernel in kernels), key=lambda each: each.rate)
    copy = _reached(copying(size.cache_bytes), target, cuda, place)
    told = [each.conditions["throttled"] for each in (best, copy) if each.conditions["throttled"] is not None]
    reasons = tuple(dict.fromkeys(reason for reasons in told for reason in reasons))
    return GpuPeak(
        best.kernel.name,
        best.rate,
        gbytes=copy.rate,
        clock_mhz=best.conditions["clock_mhz"],
        throttled=reasons if told else None,
    )


def _reached(kernel: PeakKernel, target: ArtifactTarget, cuda: Cuda | None, place: _Place) -> _Reached:
    """Builds and measures ``kernel``, for the GPU ``cuda`` where that is what runs it."""
    from ..compiler.peak import build_peak_library

    with tempfile.TemporaryDirectory(prefix="intbert-") as folder:
        # Names of their own: a process finds what it has loaded again by its name.
        library, arguments = Path(folder) / f"peak-{kernel.name}.so", Path(folder) / f"peak-{kernel.name}.npz"
        build_peak_library(kernel, target, cuda, library)
        arrays = {str(number): array for number, array in enumerate(kernel.arguments)}
        np.savez_compressed(arguments, allow_pickle=False, **arrays)
        measured = place.measure(library, arguments, REQUEST if cuda is None else GPU_REQUEST)
    if kernel.expected is not None and measured["sha256"] != hashlib.sha256(kernel.expected.tobytes()).hexdigest():
        raise ToolchainError(
            f"{target.name}: {kernel.name} does not compute what it should there, so that its time says nothing; "
            "update the GPU's driver"
        )
    return _Reached(kernel, kernel.work / min(measured["seconds"]) / 1e9, measured["conditions"])
