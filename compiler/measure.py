"""Latency and memory of an artifact here, measured in a process that loads the runtime and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from .artifact import artifact_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .runtime import Model

# Most of its words stand in it once.
_TEXT = (
    "Early in the morning the ferry leaves the harbour for the northern islands, loaded with bread, letters, "
    "bicycles and a few sleepy passengers. Fishermen mend blue nets beside wooden boats while gulls argue "
    "over yesterday's catch. By noon fog covers every roof, and children count the slow bells of a church "
    "that nobody can see. When evening comes, lamps appear along the quay one after another."
)
_WORDS = len(_TEXT.split())


@dataclass(frozen=True)
class Measurement:
    """Milliseconds of one inference (percentiles and mean over ``runs``), and what was measured.

    ``peak_rss_mb``: MiB, the largest resident set of a process that loads the artifact, embeds a sentence and
    runs the measured inferences. ``artifact_bytes``: the artifact's size on disk.
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    runs: int
    length: int
    batch: int
    threads: int
    peak_rss_mb: float
    artifact_bytes: int
    target: str
    scheme: str


@dataclass(frozen=True)
class Request:
    """What to measure. ``length`` None: the longest bucket; ``threads`` None: the runtime's default."""

    artifact: str
    length: int | None = None
    batch: int = 1
    threads: int | None = None
    runs: int = 100
    warmup: int = 10

    def __post_init__(self) -> None:
        for name in ("length", "batch", "threads", "runs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise errors.InputError(f"{name} is {value}; it must be at least 1")
        if self.warmup < 0:
            raise errors.InputError(f"warmup is {self.warmup}; it must not be negative")


def measure(request: Request) -> Measurement:
    """Measures in a child process.

    Raises what loading and running the artifact raises, and ArtifactError when the process dies.
    """
    command = [sys.executable, "-m", __name__, json.dumps(asdict(request))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Measurement(**json.loads(done.stdout))
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise errors.ArtifactError(
            f"{request.artifact}: the process that ran it {_end(done)}; compile it again"
        ) from None
    raise getattr(errors, report["type"])(report["message"])


def _end(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"died of {signal.Signals(-done.returncode).name}"
    words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return f"failed ({words[-1]})"


def measure_here(request: Request) -> Measurement:
    """Measures in this process; its peak memory is what the whole process ever had."""
    import numpy as np

    from .runtime import load

    model = load(request.artifact, request.threads)
    length = request.length or model.max_length
    ids = np.tile(sample_ids(model, length), (request.batch, 1))
    for _ in range(request.warmup):
        model.run(ids)
    samples = np.empty(request.runs)
    for index in range(request.runs):
        start = time.perf_counter_ns()
        model.run(ids)
        samples[index] = (time.perf_counter_ns() - start) / 1e6
    p50, p90, p99 = (float(value) for value in np.percentile(samples, (50, 90, 99)))
    return Measurement(
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        mean_ms=float(samples.mean()),
        runs=request.runs,
        length=length,
        batch=request.batch,
        threads=model.threads,
        peak_rss_mb=peak_rss_mb(),
        artifact_bytes=artifact_bytes(Path(request.artifact)),
        target=model.manifest.target.name,
        scheme=model.manifest.scheme,
    )


def sample_ids(model: Model, length: int) -> NDArray[Any]:
    """``length`` tokens [1, length]: of a text, so that as much of the vocabulary is read as texts read."""
    import numpy as np

    if length > model.max_length:
        raise errors.InputError(f"{length} tokens, the artifact's largest bucket holds {model.max_length}")
    if model.has_tokenizer:
        return model.tokenize([" ".join([_TEXT] * (length // _WORDS + 1))], truncate=True).ids[:, :length]
    return np.arange(length)[None] % model.manifest.architecture.vocabulary


def peak_rss_mb() -> float:
    """The largest resident set of this process so far, in MiB.

    Not getrusage's ru_maxrss, in which a process starts with the peak of the one that it was forked from.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _main(argument: str) -> int:
    try:
        report: dict[str, Any] = asdict(measure_here(Request(**json.loads(argument))))
    except errors.IntbertError as error:
        print(json.dumps({"type": type(error).__name__, "message": str(error)}))
        return 1
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
