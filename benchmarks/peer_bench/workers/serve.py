"""The worker's side of the conversation: JSON lines, a request on stdin, its answer on stdout.

It runs in any of the venvs, so it needs the standard library and NumPy only.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import numpy as np

Run = Callable[[], Any]
"""Does the job once: token ids in, the model's output out, as arrays."""

PR_SET_PDEATHSIG = 1
WARM_UP_RUNS = 10


@dataclass(frozen=True)
class Spec:
    """What a worker is told: which file, which inputs, how many threads on which CPUs."""

    model: str
    inputs: str
    precision: str
    threads: int
    cpus: list[int]
    lengths: list[int]
    batch: int = 1


@dataclass(frozen=True)
class Loaded:
    """A runtime that is ready: one run for every length, and the versions behind it."""

    runs: Mapping[int, Run]
    versions: Mapping[str, str]
    to_float: Callable[[Any], "np.ndarray"]
    """The output as floats, up to one common factor."""


def inputs_of_length(path: str, length: int, batch: int = 1) -> "dict[str, np.ndarray]":
    """``input_ids``, ``attention_mask`` and ``token_type_ids`` [batch, length], int64; every token is real."""
    import numpy as np

    with np.load(path) as arrays:
        ids = np.repeat(arrays[f"ids_{length}"], batch, axis=0)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def ends_pooled(spec: Spec) -> bool:
    """Whether the job ends with the mean of the token states."""
    import numpy as np

    with np.load(spec.inputs) as arrays:
        return arrays[f"reference_{spec.lengths[0]}"].ndim == 2


def cosine(output: "np.ndarray", reference: "np.ndarray") -> float:
    """Cosine of the angle between two arrays of the same shape, taken as vectors."""
    import numpy as np

    a, b = output.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _agreement(spec: Spec, loaded: Loaded) -> dict[str, float]:
    import numpy as np

    with np.load(spec.inputs) as arrays:
        return {
            str(length): cosine(
                loaded.to_float(loaded.runs[length]()), np.repeat(arrays[f"reference_{length}"], spec.batch, axis=0)
            )
            for length in spec.lengths
        }


def _measure(run: Run, warm_up: int, runs: int) -> tuple[list[float], float]:
    """Seconds of each run, and the CPU seconds that all of them took on all threads."""
    for _ in range(warm_up):
        run()
    seconds = []
    cpu_start = time.process_time()
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds, time.process_time() - cpu_start


def _conversation(spec: Spec, load: Callable[[Spec], Loaded], answers: TextIO) -> None:
    def answer(**fields: object) -> None:
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    loaded = load(spec)
    agreement = _agreement(spec, loaded)
    for length in spec.lengths:
        _measure(loaded.runs[length], WARM_UP_RUNS, 0)
    answer(cosine=agreement, versions=dict(loaded.versions))
    for line in sys.stdin:
        request = json.loads(line)
        seconds, cpu_seconds = _measure(loaded.runs[request["length"]], request["warm_up"], request["runs"])
        answer(seconds=seconds, cpu_seconds=cpu_seconds)


def serve(load: Callable[[Spec], Loaded]) -> None:
    """Pin this process, load the runtime, and answer until stdin closes.

    Called before the runtime is imported, as thread pools take their number of CPUs from the affinity.
    """
    # A stopped process would outlive its parent for ever, were the parent killed.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    spec = Spec(**json.loads(Path(sys.argv[1]).read_text()))
    os.sched_setaffinity(0, spec.cpus)
    # Libraries print to stdout as they please; answers go where only this module writes.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _conversation(spec, load, answers)
