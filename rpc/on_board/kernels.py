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
from ...compiler.runtime.library import tvm_runtime
from ...compiler.runtime.threads import Threads
from ...errors import ArtifactError
from ..telemetry import Sensors, was_throttled

FUNCTION = "main"
"""The kernel's name in its library."""
UNTOUCHED = 0xA5
"""What the outputs' bytes are before the kernel runs: what it does not write is seen."""


@dataclass(frozen=True)
class Request:
    """``outputs``: how many of the arguments, the last ones, the kernel writes. ``repeats`` samples are taken, each
    the mean over as many calls as take ``least_ms``."""

    outputs: int
    threads: int
    repeats: int
    least_ms: float


class KernelArguments:
    """A kernel's arguments, of the ``.npz`` file ``path``: arrays named 0, 1, ... in their order."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.arrays = [_aligned(file[str(index)]) for index in range(len(file.files))]
        self.tensors = [tvm_runtime().from_dlpack(array) for array in self.arrays]


def measure(library: Path, arguments: KernelArguments, sensors: Sensors, request: Request) -> dict[str, Any]:
    """The seconds of each sample, the SHA-256 of the outputs, and the conditions, as JSON.

    Raises ArtifactError when the library cannot be loaded.
    """
    kernel = _load(library)
    threads = Threads(request.threads)
    for output in arguments.arrays[-request.outputs :]:
        output.view(np.uint8).fill(UNTOUCHED)
    threads.run(lambda: kernel(*arguments.tensors))
    digest = hashlib.sha256()
    for output in arguments.arrays[-request.outputs :]:
        digest.update(output.data)
    before = sensors.read()
    seconds = threads.run(lambda: _sample(lambda: kernel(*arguments.tensors), request))
    after = sensors.read()
    reasons = was_throttled(before, after)
    throttled = None if reasons is None else list(reasons)
    return {"seconds": seconds, "sha256": digest.hexdigest(), "conditions": {**asdict(after), "throttled": throttled}}


def _sample(call: Callable[[], Any], request: Request) -> list[float]:
    count, least = 1, request.least_ms / 1e3
    while (elapsed := _time(call, count)) < least:
        count = min(16 * count, max(count + 1, int(1.1 * count * least / max(elapsed, 1e-9))))
    return [elapsed / count, *(_time(call, count) / count for _ in range(request.repeats - 1))]


def _time(call: Callable[[], Any], count: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - start) / 1e9


def _load(library: Path) -> Callable[..., Any]:
    try:
        return tvm_runtime().load_module(str(library))[FUNCTION]
    except (RuntimeError, ValueError, AttributeError, OSError) as error:
        raise ArtifactError(f"{library.name} cannot be loaded ({str(error).strip().splitlines()[0]})") from error


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy
