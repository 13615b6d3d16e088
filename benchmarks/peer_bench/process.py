"""The parent's side of a worker: a process that computes only while it is asked."""

import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from .commands import last_line
from .errors import BenchmarkError
from .rows import Samples
from .workers.serve import Spec

ANSWER_LIMIT_SECONDS = 900.0


class WorkerProcess:
    """One runtime in a process of its own.

    Between its turns the process is stopped (SIGSTOP), so that no thread pool of a runtime that waits can
    spin on the cores of the one that is measured.
    """

    def __init__(self, name: str, command: Sequence[str | Path], spec: Spec, folder: Path, env: Mapping[str, str]):
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"{name}.log"
        spec_file = folder / f"{name}.json"
        spec_file.write_text(json.dumps(asdict(spec)))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*map(str, command), str(spec_file)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=dict(env),
            )  # fmt: skip
        try:
            greeting = self._answer()
        except BaseException:
            self.close()
            raise
        self.cosine: dict[str, float] = greeting["cosine"]
        self.versions: dict[str, str] = greeting["versions"]
        self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def measure(self, length: int, runs: int, warm_up: int) -> Samples:
        """``runs`` runs, after some uncounted ones that refill the caches."""
        stdin = self._process.stdin
        assert stdin is not None
        self._process.send_signal(signal.SIGCONT)
        request = json.dumps({"length": length, "runs": runs, "warm_up": warm_up})
        try:
            stdin.write(request.encode() + b"\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error
        answer = self._answer()
        self._stop()
        return Samples(answer["seconds"], answer["cpu_seconds"])

    def _stop(self) -> None:
        # Returns once all its threads stand, so that the next worker has the cores for itself.
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _answer(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], ANSWER_LIMIT_SECONDS)[0]:
            raise BenchmarkError(
                f"worker {self.name} gave no answer for {ANSWER_LIMIT_SECONDS:.0f} s (see {self._log})"
            )
        line = stdout.readline()
        if not line:
            raise self._died()
        return json.loads(line)

    def _died(self) -> BenchmarkError:
        status = self._process.wait()
        return BenchmarkError(f"worker {self.name} ended ({status}): {last_line(self._log)} (see {self._log})")

    def close(self) -> None:
        """End the process; nothing of it is worth an orderly shutdown."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
