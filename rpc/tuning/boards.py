"""The boards of a tuning run: each has a process of its own here, since TVM's client waits under Python's lock."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ...errors import CrashError, IntbertError, NoAnswerError, RemoteError
from ..devices.inventory import Inventory
from ..on_board.kernels import Request
from ..sessions.board_session import Terms
from ..sessions.boards import Boards, OpenBoard
from ..telemetry import GPU
from .result import Machine, Measured

PATIENCE = 120.0
"""Seconds for which a board that was lost, for example because it restarts, is waited for."""
RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Place:
    """Where to measure: a name that ``boards`` opens. ``wait``: seconds for a board in use; ``timeout``: for any
    answer, a kernel's included; ``on_gpu``: whether its GPU is to run the kernels."""

    boards: Boards
    name: str
    wait: float
    timeout: float = 60.0
    on_gpu: bool = False

    def open(self) -> AbstractContextManager[OpenBoard]:
        """A session with the board; nobody can be asked for a password."""
        return self.boards.open(self.name, Terms(Inventory(), wait=self.wait, timeout=self.timeout))


@dataclass(frozen=True)
class Job:
    """A library to measure on the arguments of an ``.npz`` file; ``arguments_id`` tells those files apart.

    No two libraries have the same file name: a process that has loaded one finds it again by its name.
    """

    library: Path
    arguments: Path
    arguments_id: str
    request: Request


class LostBoardError(RemoteError):
    """A board went away and did not come back; what it was to measure is not measured."""


class BoardProcess:
    """Measures on one board, in a process of its own. :meth:`start` a job, wait until :attr:`pipe` is readable, and
    :meth:`take` the result.

    Raises what opening a session raises.
    """

    def __init__(self, place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, place), daemon=True)
        self._process.start()
        far.close()
        self._name = place.name
        self.machine: Machine = self._answer()

    def start(self, job: Job) -> None:
        """Begins to measure."""
        try:
            self.pipe.send(job)
        except OSError as error:
            raise LostBoardError(f"{self._name}: the process that measured on it ended") from error

    def take(self) -> Measured:
        """The result of the job, waited for; :attr:`machine` is what it was measured on: a farm may have given another
        board in place of a lost one. Raises LostBoardError when the board is gone."""
        measured, self.machine = self._answer()
        return measured

    def close(self) -> None:
        """Ends the session and the process."""
        self.pipe.close()
        self._process.join(RETRY_SECONDS)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise LostBoardError(f"{self._name}: the process that measured on it ended") from error
        if isinstance(answer, IntbertError):
            raise answer
        return answer


def _serve(pipe: Connection, place: Place) -> None:
    """The process: says what the board is, then answers jobs until the pipe is closed."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard is the tuner's to handle
    bench = _Bench(place)
    try:
        pipe.send(bench.open().machine)
        while True:
            pipe.send(_answer_to(bench, pipe.recv()))
    except IntbertError as error:
        pipe.send(error)
    except (EOFError, OSError):
        pass
    finally:
        bench.close()


def _answer_to(bench: _Bench, job: Job) -> tuple[Measured, Machine] | IntbertError:
    try:
        measured = bench.measure(job)
    except (CrashError, NoAnswerError) as error:
        measured = Measured.failed(_kind(error))
    except RemoteError as error:
        return LostBoardError(str(error))
    except IntbertError as error:
        measured = Measured.failed(str(error))
    return measured, bench.machine


def _kind(error: RemoteError) -> str:
    """The part of the message that says what happened: the same for every candidate to which it happens."""
    return str(error).rpartition("failed: ")[2].partition(";")[0]


class _Bench:
    """A session that is opened again when it was lost."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opening: AbstractContextManager[OpenBoard] | None = None
        self._board: OpenBoard | None = None
        self._machine: Machine | None = None
        self._sent: str | None = None

    @property
    def machine(self) -> Machine:
        """The board of the session that is open, or was last."""
        assert self._machine is not None, "no session was ever open"
        return self._machine

    def measure(self, job: Job) -> Measured:
        """Measures; a candidate that was there when the connection was lost gets a second chance."""
        try:
            return self._measure(job)
        except (CrashError, NoAnswerError):
            self.close()
            raise
        except RemoteError:
            self.close()
            self._wait_for_board()
        return self._measure(job)

    def open(self) -> _Bench:
        """Opens a session where none is open."""
        if self._board is None:
            opening = self._place.open()
            board = opening.__enter__()
            self._opening, self._board, self._sent = opening, board, None
            features = board.session.features()
            found = board.session.machine()
            cpu = found.pop("cpu", features.arch)  # a board may still have the runtime of an earlier release
            gpu = None
            if self._place.on_gpu:
                gpu = board.session.gpu()
                found["governor"] = board.session.sensors(GPU.name)["governor"]
            self._machine = Machine(board.name, features.arch, features.features, cpu=cpu, gpu=gpu, **found)
        return self

    def close(self) -> None:
        """Ends the session."""
        opening, self._opening, self._board = self._opening, None, None
        if opening is not None:
            opening.__exit__(None, None, None)

    def _measure(self, job: Job) -> Measured:
        board = self.open()._board
        assert board is not None
        arguments = f"{job.arguments_id}.npz"
        if self._sent != job.arguments_id:
            board.session.put(arguments, job.arguments)
            self._sent = job.arguments_id
        board.session.put(job.library.name, job.library)
        return Measured.from_json(board.session.measure_kernel(job.library.name, arguments, asdict(job.request)))

    def _wait_for_board(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.open()
            except IntbertError:
                self.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_SECONDS)
            else:
                return
