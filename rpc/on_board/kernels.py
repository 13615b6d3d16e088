"""One kernel at a time, as a tuner wants it measured: its outputs' hash, then its times. Runs on the board."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.runtime.aligned import aligned_zeros
from ...compiler.runtime.devices import CopyingDevice, Device, HostDevice
from ...compiler.runtime.driver import load_cuda_runtime
from ...compiler.runtime.library import tvm_runtime
from ...compiler.runtime.threads import Threads
from ...errors import ArtifactError, CrashError
from ..telemetry import Sensors, was_throttled

ON_CPU = HostDevice()
FUNCTION = "main"
"""The kernel's name in its library."""
UNTOUCHED = 0xA5
"""What the outputs' bytes are before the kernel runs: what it does not write is seen."""


@dataclass(frozen=True)
class Request:
    """``outputs``: how many of the arguments, the last ones, the kernel writes. ``repeats`` samples are taken, each
    the mean over as many calls as take ``least_ms``. ``on_gpu``: whether it is a kernel of a GPU."""

    outputs: int
    threads: int
    repeats: int
    least_ms: float
    on_gpu: bool = False


def device(on_gpu: bool) -> Device:
    """What computes: the CPU, or the first GPU, for which TVM's runtime is loaded. Raises ToolchainError where that is
    missing."""
    if not on_gpu:
        return ON_CPU
    load_cuda_runtime()
    return CopyingDevice()


class KernelArguments:
    """A kernel's arguments on ``device``, of the ``.npz`` file ``path``: arrays named 0, 1, ... in their order."""

    def __init__(self, path: Path, device: Device = ON_CPU) -> None:
        self.device = device
        with np.load(path) as file:
            self.arrays = [_aligned(file[str(index)]) for index in range(len(file.files))]
        self.tensors = device.inputs(self.arrays)
        device.update(self.tensors, self.arrays)

    def clear(self, outputs: int) -> None:
        """Gives the last ``outputs`` arguments the bytes :data:`UNTOUCHED`."""
        for array in self.arrays[-outputs:]:
            array.view(np.uint8).fill(UNTOUCHED)
        self.device.update(self.tensors[-outputs:], self.arrays[-outputs:])

    def sha256(self, outputs: int) -> str:
        """Of the bytes of the last ``outputs`` arguments, hexadecimal."""
        digest = hashlib.sha256()
        for tensor in self.tensors[-outputs:]:
            digest.update(self.device.values(tensor).data)
        return digest.hexdigest()


def measure(library: Path, arguments: KernelArguments, sensors: Sensors, request: Request) -> dict[str, Any]:
    """The seconds of each sample, the SHA-256 of the outputs, and the conditions, as JSON.

    Raises ArtifactError when the library cannot be loaded, CrashError when the GPU's driver ends the kernel: then the
    process can run no other.
    """
    kernel = _load(library)
    threads = Threads(request.threads)
    timed = _Timed(lambda: kernel(*arguments.tensors), arguments.device.wait)
    arguments.clear(request.outputs)
    try:
        threads.run(timed.call)
        sha256 = arguments.sha256(request.outputs)
        before = sensors.read()
        seconds = threads.run(lambda: _samples(timed, request))
        after = sensors.read()
    except RuntimeError as error:
        raise CrashError(f"the kernel failed: {_first_line(error)}") from error
    reasons = was_throttled(before, after)
    throttled = None if reasons is None else list(reasons)
    return {"seconds": seconds, "sha256": sha256, "conditions": {**asdict(after), "throttled": throttled}}


@dataclass(frozen=True)
class _Timed:
    """``call`` begins what is timed, ``wait`` returns when it has ended."""

    call: Callable[[], Any]
    wait: Callable[[], None]

    def seconds(self, count: int) -> float:
        """Of ``count`` calls, begun one after the other."""
        start = time.perf_counter_ns()
        for _ in range(count):
            self.call()
        self.wait()
        return (time.perf_counter_ns() - start) / 1e9


def _samples(timed: _Timed, request: Request) -> list[float]:
    count, least = 1, request.least_ms / 1e3
    while (elapsed := timed.seconds(count)) < least:
        count = min(16 * count, max(count + 1, int(1.1 * count * least / max(elapsed, 1e-9))))
    return [elapsed / count, *(timed.seconds(count) / count for _ in range(request.repeats - 1))]


def _load(library: Path) -> Callable[..., Any]:
    try:
        return tvm_runtime().load_module(str(library))[FUNCTION]
    except (RuntimeError, ValueError, AttributeError, OSError) as error:
        raise ArtifactError(f"{library.name} cannot be loaded ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy
