"""A bench that measures nothing: candidates' times are estimates, from their code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import Any

from ...compiler.estimation import Estimate, Meter
from ...schedules.tuning_log.record import ESTIMATED, UNCHECKED, USABLE
from ...targets.target import Target
from ..on_board.kernels import Request
from .arguments import Arguments
from .bench import Bench, Heard
from .build import Builder, result_of
from .interruption import POLL_SECONDS, Interruption
from .result import Machine, Measured

NO_BOARD = "no board"
"""What records of estimates have in place of a board's name; the meter's name is in place of its model."""


class EstimatingBench:
    """Candidates in, estimates for ``target`` by ``meter`` out. ``checker``: boards that run each candidate once, for
    its outputs' bytes; None where there are none, and the candidates stay unchecked. ``interruption`` ends it all."""

    source = ESTIMATED

    def __init__(
        self, builder: Builder, target: Target, meter: Meter, checker: Bench | None, interruption: Interruption
    ) -> None:
        self._builder = builder
        self._meter = meter
        self._checker = checker
        self._interruption = interruption
        self._machine = Machine(NO_BOARD, target.arch, target.features, meter.name, target.cpu, target.cores)
        self.counted = (USABLE, UNCHECKED) if checker is None else (USABLE,)

    @property
    def machines(self) -> tuple[Machine, ...]:
        """What stands for a board in records: the meter."""
        return (self._machine,)

    def measure(self, functions: Sequence[Any], arguments: Arguments, request: Request, heard: Heard) -> None:
        """Estimates the scheduled PrimFuncs; see :meth:`.bench.Bench.measure`."""
        unfinished = {
            self._builder.estimate(function, request.threads, self._meter): index
            for index, function in enumerate(functions)
        }
        unchecked: dict[int, Measured] = {}
        while unfinished:
            done, _ = wait(unfinished, POLL_SECONDS, FIRST_COMPLETED)
            self._interruption.check()
            for future in done:
                index, measured = unfinished.pop(future), _measured(future)
                if measured.error is not None or self._checker is None:
                    heard(index, measured, self._machine)
                else:
                    unchecked[index] = measured
        if self._checker is not None:
            self._check(self._checker, functions, unchecked, arguments, request, heard)

    def _check(
        self,
        checker: Bench,
        functions: Sequence[Any],
        estimates: Mapping[int, Measured],
        arguments: Arguments,
        request: Request,
        heard: Heard,
    ) -> None:
        """Has boards run candidates: the estimates get the hashes of their outputs, or the errors."""
        indices = list(estimates)

        def checked(place: int, answer: Measured, machine: Machine | None) -> None:
            estimate = estimates[indices[place]]
            known = answer if answer.error is not None else replace(estimate, sha256=answer.sha256)
            heard(indices[place], known, self._machine)

        once = replace(request, repeats=1, least_ms=0.0)
        checker.measure([functions[index] for index in indices], arguments, once, checked)


def _measured(future: Future[Estimate | str]) -> Measured:
    result = result_of(future)
    return Measured.failed(result) if isinstance(result, str) else Measured((result.seconds,))
