"""Builds and measures candidates on all boards of a run at once; what a board that is lost had is given to another."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as readable
from pathlib import Path
from typing import Any

from ...errors import RemoteError
from ...schedules.tuning_log.record import MEASURED, USABLE
from ..on_board.kernels import Request
from .arguments import Arguments
from .boards import BoardProcess, Job, LostBoardError
from .build import Builder, result_of
from .interruption import POLL_SECONDS as INTERRUPTION_SECONDS
from .interruption import Interruption
from .result import Machine, Measured

POLL_SECONDS = 0.02
"""How often builds are looked at while boards measure."""


Heard = Callable[[int, Measured, Machine | None], None]
"""Gets the index of a candidate, what became of it, and the board (None: it was not even built)."""


class Bench:
    """Candidates in, measurements out. ``folder`` holds libraries while they are needed.

    ``shared``: whether the boards' processors are this machine's: then nothing is built while something is measured.
    ``interruption`` ends what is measured.
    """

    source = MEASURED
    """What its times are, for records."""
    counted = (USABLE,)
    """The outcomes of records that may be the best of a run."""

    def __init__(
        self,
        builder: Builder,
        boards: Sequence[BoardProcess],
        folder: Path,
        *,
        shared: bool,
        interruption: Interruption,
    ) -> None:
        self.builder = builder
        self._boards = list(boards)
        self._folder = folder
        self._shared = shared
        self._interruption = interruption
        self._count = itertools.count()

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The boards that are left."""
        return tuple(board.machine for board in self._boards)

    def measure(self, functions: Sequence[Any], arguments: Arguments, request: Request, heard: Heard) -> None:
        """Builds and measures the scheduled PrimFuncs; ``heard`` is called for each as soon as it is over, and before
        its board gets another.

        Raises RemoteError when the last board is lost, KeyboardInterrupt when the end was asked for: no board has begun
        with another candidate since, and what was measured by then was heard of.
        """
        builds: dict[Future[str | None], tuple[int, Path]] = {}
        for index, function in enumerate(functions):
            path = self._folder / f"candidate-{next(self._count)}.so"
            builds[self.builder.submit(function, path)] = index, path
        while self._shared and wait(builds, INTERRUPTION_SECONDS).not_done:
            self._interruption.check()
        ready: deque[tuple[int, Path]] = deque()
        running: dict[Connection, tuple[BoardProcess, tuple[int, Path]]] = {}
        while builds or ready or running:
            built = self._built(builds, idle=not running and not ready)
            self._interruption.check()  # before a build that the interrupt has ended is taken for a failure
            for index, path, error in built:
                if error is None:
                    ready.append((index, path))
                else:
                    heard(index, Measured.failed(error), None)
            self._start(ready, running, arguments, request)
            seconds = POLL_SECONDS if builds else INTERRUPTION_SECONDS
            for connection in readable(list(running), seconds) if running else ():
                assert isinstance(connection, Connection)
                board, candidate = running.pop(connection)
                self._finish(board, candidate, ready, heard)

    def _built(
        self, builds: dict[Future[str | None], tuple[int, Path]], idle: bool
    ) -> list[tuple[int, Path, str | None]]:
        """The builds that are over: index, library, error. ``idle``: there is nothing else to wait for."""
        done, _ = wait(builds, timeout=INTERRUPTION_SECONDS if idle else 0, return_when=FIRST_COMPLETED)
        return [(*builds.pop(future), result_of(future)) for future in done]

    def _start(
        self,
        ready: deque[tuple[int, Path]],
        running: dict[Connection, tuple[BoardProcess, tuple[int, Path]]],
        arguments: Arguments,
        request: Request,
    ) -> None:
        for board in list(self._boards):
            if ready and board.pipe not in running:
                candidate = ready.popleft()
                try:
                    board.start(Job(candidate[1], arguments.path, arguments.identity, request))
                except LostBoardError as error:
                    self._lose(board, error)
                    ready.appendleft(candidate)
                else:
                    running[board.pipe] = board, candidate
                    self._boards.append(self._boards.pop(self._boards.index(board)))  # they take turns

    def _finish(
        self, board: BoardProcess, candidate: tuple[int, Path], ready: deque[tuple[int, Path]], heard: Heard
    ) -> None:
        index, path = candidate
        try:
            measured = board.take()
        except LostBoardError as error:
            self._lose(board, error)
            ready.appendleft(candidate)
            return
        heard(index, measured, board.machine)
        path.unlink(missing_ok=True)

    def _lose(self, board: BoardProcess, error: LostBoardError) -> None:
        self._boards.remove(board)
        board.close()
        if not self._boards:
            raise RemoteError(f"{error}; no board is left, and what was measured is in the log") from error

    def close(self) -> None:
        """Ends all sessions."""
        for board in self._boards:
            board.close()
