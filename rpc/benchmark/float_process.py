"""A float32 model in a process of its own: what its runtime does to threads and memory is no matter of the other's.

Both sides say one JSON document a line. The first line to the process is the architecture and the number of threads,
the others are requests; the process answers every line.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from typing import Any

from ...compiler.model import Architecture, architecture_from_json
from ...errors import IntbertError, ToolchainError
from ..sessions.protocol import encode_error, error_of

WARMUP = 3
"""Inferences that do not count, before operators are timed."""
TRIALS, TRIAL_SECONDS = 10, 2.0
"""Inferences, and seconds at most, that a way to wait is tried for."""

_WAYS_TO_WAIT: tuple[Mapping[str, str], ...] = ({}, {"OMP_WAIT_POLICY": "PASSIVE"})
"""OpenMP's threads spin while they wait: the fastest way, unless other programs need their cores; then it is many
times as slow as sleeping."""


class FloatProcess:
    """The parent's side: a :class:`.runner.Measurable`."""

    where = "this machine, float32"

    def __init__(self, architecture: Architecture, threads: int, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        try:
            started = self._ask({"architecture": asdict(architecture), "threads": threads})
        except BaseException:
            self.close()
            raise
        self.runtime: str = started["runtime"]
        """Name and version of what computes it."""
        self.load_ms: float = started["load_ms"]

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def measure(self, length: int | None, batch: int, count: int, seconds: float) -> dict[str, Any]:
        """See :class:`.runner.Measurable`."""
        return self._ask({"measure": {"length": length, "batch": batch, "count": count, "seconds": seconds}})

    def operators(self, length: int, batch: int, runs: int) -> dict[str, float]:
        """Milliseconds of each operator in one inference, the mean of ``runs``."""
        return self._ask({"operators": {"length": length, "batch": batch, "runs": runs}})

    def conditions(self) -> dict[str, Any]:
        """See :class:`.runner.Measurable`."""
        return self._ask({"conditions": {}})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ToolchainError("the process that runs the float32 model ended; is there memory enough for it?")
        document = json.loads(line)
        if "error" in document:
            raise error_of(json.loads(document["error"]))
        return document["answer"]


@contextmanager
def float_process(architecture: Architecture, threads: int, length: int, batch: int) -> Iterator[FloatProcess]:
    """The model of ``architecture``, with random weights, ready to run on ``threads`` threads until the block ends.

    Of the ways in which threads can wait it has the one that is faster now, for ``batch`` rows of ``length`` tokens.
    Raises ToolchainError without PyTorch.
    """
    ways = _WAYS_TO_WAIT if threads > 1 else _WAYS_TO_WAIT[:1]
    with ExitStack() as stack:
        processes = [stack.enter_context(closing(FloatProcess(architecture, threads, way))) for way in ways]
        fastest = min(processes, key=lambda process: _median_ms(process, length, batch))
        for process in processes:
            if process is not fastest:
                process.close()
        yield fastest


def _median_ms(process: FloatProcess, length: int, batch: int) -> float:
    """The median: what others do to the machine is what tells the ways to wait apart."""
    taken = process.measure(length, batch, TRIALS, TRIAL_SECONDS)["samples"]
    return statistics.median(sample["ms"] for sample in taken)


class _Server:
    """The process' side."""

    def __init__(self, architecture: dict[str, Any], threads: int) -> None:
        from ..telemetry import Sensors

        start = time.perf_counter_ns()
        try:
            import torch

            from .float_model import FloatModel
        except ImportError as error:
            raise ToolchainError(
                f"the float32 model needs PyTorch ({error}); run `pip install 'intbert[quantize]'`"
            ) from None
        torch.set_num_threads(threads)
        self._torch = torch
        self._architecture = architecture_from_json(architecture)
        self._model = FloatModel(self._architecture)
        self._sensors = Sensors(cpus=os.sched_getaffinity(0))
        self.started = {
            "runtime": f"PyTorch {torch.__version__}",
            "load_ms": (time.perf_counter_ns() - start) / 1e6,
        }

    def measure(self, length: int, batch: int, count: int, seconds: float) -> dict[str, Any]:
        from ...compiler.measure import peak_rss_mb
        from ..on_board.sampling import samples

        ids = self._ids(length, batch)
        taken = samples(lambda: self._model.run(ids), self._sensors, count, seconds)
        threads = self._torch.get_num_threads()
        return {"samples": taken, "length": length, "threads": threads, "peak_rss_mb": peak_rss_mb()}

    def operators(self, length: int, batch: int, runs: int) -> dict[str, float]:
        ids = self._ids(length, batch)
        times = [self._model.times(ids) for _ in range(WARMUP + runs)][WARMUP:]
        return {name: sum(each[name] for each in times) / runs for name in times[0]}

    def conditions(self) -> dict[str, Any]:
        return asdict(self._sensors.read())

    def _ids(self, length: int, batch: int) -> Any:
        random = self._torch.Generator().manual_seed(0)
        return self._torch.randint(self._architecture.vocabulary, (batch, length), generator=random)


def _main() -> None:
    server: _Server | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if server is None:
                server = _Server(**request)
                answer = server.started
            else:
                ((name, arguments),) = request.items()
                answer = getattr(server, name)(**arguments)
            print(json.dumps({"answer": answer}), flush=True)
        except IntbertError as error:
            print(json.dumps({"error": encode_error(error)}), flush=True)


if __name__ == "__main__":
    _main()
