"""Builds candidates in worker processes: a compiler that crashes or never ends costs one candidate."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from subprocess import DEVNULL
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ...targets.target import Target

if TYPE_CHECKING:
    from ...compiler.estimation import Estimate, Meter

T = TypeVar("T")

SECONDS = 60.0
"""For one candidate; half a second is usual."""
END_SECONDS = 0.1
"""How often processes that are to end are looked at."""


class Builder:
    """Worker processes that build kernels for ``target``; use it as a context manager.

    At its end builds that wait are cancelled and those that run are killed.
    """

    def __init__(self, target: Target, workers: int) -> None:
        from tvm.support.popen_pool import PopenPoolExecutor

        self._target = target
        # What a compiler that crashes prints, and what an interrupt makes workers print, is no news to the user.
        self._pool = PopenPoolExecutor(
            max_workers=workers, timeout=SECONDS, initializer=_ignore_interrupts, stdout=DEVNULL, stderr=DEVNULL
        )
        self._unfinished: set[Future[Any]] = set()

    def submit(self, function: Any, path: Path) -> Future[str | None]:
        """Builds the scheduled PrimFunc into the shared library ``path``; the result is that of :func:`result_of`."""
        return self._submit(_build, function, self._target, str(path))

    def estimate(self, function: Any, threads: int, meter: Meter) -> Future[Estimate | str]:
        """Estimates the scheduled PrimFunc's time with ``threads``; the result is that of :func:`result_of`."""
        return self._submit(_estimate, function, self._target, threads, meter)

    def _submit(self, work: Callable[..., Any], function: Any, *arguments: Any) -> Future[Any]:
        import tvm

        text = tvm.ir.save_json(tvm.IRModule({"main": function}))
        future = self._pool.submit(work, text, *arguments)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future

    def __enter__(self) -> Builder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [future for future in list(self._unfinished) if not future.cancel()]
        while running:
            self._kill()
            running = list(wait(running, END_SECONDS).not_done)
        self._pool.shutdown()

    def _kill(self) -> None:
        """Ends the workers' processes; the pool's own shutdown waits for what they are doing."""
        for worker in list(self._pool._worker_map.values()):
            process = worker._proc
            if process is not None:
                process.kill()


def result_of(future: Future[T]) -> T | str:
    """What a worker came to, or in one line why it came to nothing; of a build that succeeded, None."""
    try:
        return future.result()
    except TimeoutError:
        return f"the build did not end within {SECONDS:g} s"
    except ChildProcessError:
        return "the compiler crashed"


def _ignore_interrupts() -> None:
    """An interrupt from the keyboard is the tuner's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _build(text: str, target: Target, path: str) -> str | None:
    from ...compiler.kernel_library import build_kernel_library

    try:
        build_kernel_library(_function(text), target, Path(path))
    except Exception as error:  # TVM raises whatever type it likes; the tuner records it
        return _last_line(error)
    return None


def _estimate(text: str, target: Target, threads: int, meter: Meter) -> Estimate | str:
    from ...compiler.estimation import estimate_kernel

    try:
        return estimate_kernel(_function(text), target, threads, meter)
    except Exception as error:  # TVM raises whatever type it likes; the tuner records it
        return _last_line(error)


def _function(text: str) -> Any:
    import tvm

    from ...compiler import kernels  # its import registers every intrinsic of ours that the text may name

    assert kernels is not None
    return tvm.ir.load_json(text)["main"]


def _last_line(error: Exception) -> str:
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
