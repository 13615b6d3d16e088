"""A benchmark on this machine, in a process that loads the runtime and nothing else: what a board would measure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...compiler.artifact import artifact_bytes
from ...errors import ArtifactError, IntbertError
from ..sessions.protocol import encode_error, error_of
from . import runner
from .plan import Plan

if TYPE_CHECKING:
    from ..telemetry import Sensors

HERE = "this machine"


def bench_here(artifact: Path, plan: Plan) -> dict[str, Any]:
    """The measurement, as JSON.

    Raises what loading and running the artifact raises, and ArtifactError when the process dies.
    """
    command = [sys.executable, "-m", __name__, str(artifact), json.dumps(asdict(plan))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        document = json.loads(done.stdout)
    except ValueError:
        raise ArtifactError(f"{artifact}: the process that ran it {_end(done)}; compile it again") from None
    if done.returncode:
        raise error_of(document)
    return document


class LocalModel:
    """An artifact loaded in this process: a :class:`.runner.Measurable`."""

    where = HERE

    def __init__(self, artifact: Path, threads: int | None) -> None:
        from ...compiler.runtime import load
        from ..on_board.sampling import processor_of
        from ..telemetry import Sensors

        start = time.perf_counter_ns()
        self.model = load(artifact, threads)
        self.load_ms = (time.perf_counter_ns() - start) / 1e6
        self.sensors: Sensors = Sensors(cpus=os.sched_getaffinity(0), processor=processor_of(self.model))

    def measure(self, length: int | None, batch: int, count: int, seconds: float) -> dict[str, Any]:
        """See :class:`.runner.Measurable`."""
        from ..on_board.sampling import Request, measure

        return measure(self.model, self.sensors, Request(length, batch, count, seconds))

    def conditions(self) -> dict[str, Any]:
        """See :class:`.runner.Measurable`."""
        return asdict(self.sensors.read())


def measure_in_this_process(artifact: Path, plan: Plan) -> dict[str, Any]:
    """Measures here; the peak of memory is what the whole process ever had."""
    model = LocalModel(artifact, plan.threads)
    measurement = runner.run(model, plan, lambda message: None)
    return {
        "device": HERE,
        "target": model.model.manifest.target.name,
        "scheme": model.model.manifest.scheme,
        "artifact_bytes": artifact_bytes(artifact),
        "sensors": asdict(model.sensors.describe()),
        **measurement.to_json(),
    }


def _end(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"died of {signal.Signals(-done.returncode).name}"
    words = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return f"failed ({words[-1]})"


def _main(artifact: str, plan: str) -> int:
    try:
        document = measure_in_this_process(Path(artifact), Plan(**json.loads(plan)))
    except IntbertError as error:
        print(encode_error(error))
        return 1
    print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
