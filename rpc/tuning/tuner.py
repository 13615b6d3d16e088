"""The tuning run: which task next, when to stop, and what goes into the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...compiler.kernels import Alternative
from ...compiler.tasks import Task
from ...schedules.tuning_log import Conditions, Device, Filter, Record, TuningLog
from ...schedules.tuning_log.record import ESTIMATED, MEASURED, UNCHECKED
from ...targets.target import Target
from ..on_board.kernels import Request
from .arguments import write_arguments
from .bench import Bench
from .estimating import EstimatingBench
from .interruption import Interruption
from .progress import Progress, Tell
from .result import Machine, Measured
from .search import Candidate, Search
from .settings import Settings
from .versions import versions
from .way import WRONG_BYTES, Way

LEAST_GAIN = 0.005
"""A round that makes a task faster by less than this share has gained nothing."""
HOPELESS = 1.5
"""An alternative whose default is so many times slower than the best alternative's is not tuned."""
SEEDS = 16
"""Records of near kernels that are tried on a kernel before its search begins."""
CHECKED_BY = "intbert oracle"


class Tuner:
    """Tunes ``tasks`` for ``target`` on the boards of ``bench`` and writes every trial to ``log``.

    ``folder`` holds files until the run ends; ``cost_model`` ranks candidates and learns; ``tell`` hears of all;
    ``interruption`` ends the run before its next step.
    """

    def __init__(
        self, tasks: Sequence[Task], target: Target, log: TuningLog, bench: Bench | EstimatingBench, settings: Settings,
        folder: Path, cost_model: Any, tell: Tell, interruption: Interruption,
    ) -> None:  # fmt: skip
        self._target = target
        self._log = log
        self._bench = bench
        self._settings = settings
        self._folder = folder
        self._cost_model = cost_model
        self._tell = tell
        self._interruption = interruption
        self._versions = versions()
        self.progress = [
            Progress(task, [Way.of(each, task.operator, task.shape, bench.counted) for each in _worth_tuning(task)])
            for task in tasks
        ]

    @property
    def trials(self) -> int:
        """How many candidates were measured, now or in earlier runs that the log has."""
        return sum(each.trials for each in self.progress)

    def run(self) -> None:
        """Tunes until the trials are used up or no task has anything left to win.

        Raises RemoteError when the last board is lost, TuningLogError when the log cannot be written, KeyboardInterrupt
        when the end was asked for. Whatever was measured until then is in the log, and another run goes on from there.
        """
        self._remember()
        for progress in self.progress:
            self._measure_defaults(progress)
        while self.trials < self._settings.trials:
            progress = self._next()
            if progress is None:
                return
            self._round(progress)

    def _remember(self) -> None:
        """Takes from the log what it has for these tasks, this processor and this compiler."""
        for way in (way for progress in self.progress for way in progress.ways):
            for record in self._log.records(Filter(workload=way.workload.hash, tvm=self._versions.tvm)):
                if self._comparable(record, way):
                    way.hear(record)

    def _comparable(self, record: Record, way: Way) -> bool:
        return (
            record.source == self._bench.source
            and (record.source == MEASURED or record.device.model == self._bench.machines[0].description)
            and (record.outcome != UNCHECKED or UNCHECKED in self._bench.counted)
            and record.strategy == way.alternative.strategy.name
            and record.features == self._target.tuning_features
            and record.threads == self._settings.threads
            and record.versions.space == self._versions.space
        )

    def _measure_defaults(self, progress: Progress) -> None:
        """The schedules that are taken without a log: what all others are compared with."""
        for way in progress.ways:
            if way.default_seconds is None:
                self._begin(f"measuring the default of {progress.task.operator}")
                self._measure(progress, way, [way.default])
        fastest = progress.default
        for way in progress.ways:
            seconds = way.default_seconds
            way.over = fastest is None or seconds is None or seconds > HOPELESS * fastest

    def _next(self) -> Progress | None:
        """The task with the most to win: its share of the model's time, times what its last rounds have won."""
        unfinished = [progress for progress in self.progress if progress.done is None]
        return max(unfinished, key=lambda progress: progress.total * progress.hope, default=None)

    def _round(self, progress: Progress) -> None:
        way = progress.next_way()
        if way is None:
            progress.done = "its space is used up"
            return
        name = f"{progress.task.operator} {progress.task.shape}"
        if way.search is None and self._settings.warm_start:
            self._measure_seeds(progress, way)
        self._begin(f"drawing candidates for {name}")
        search = self._search(way)
        candidates = search.propose()
        if not candidates:
            way.over = True
            return
        before, left = progress.best, self._settings.trials - self.trials
        fresh = [candidate for candidate in candidates if candidate.trace not in way.known][:left]
        self._begin(f"measuring {name}")
        self._measure(progress, way, [*fresh, *self._again(way)])
        self._measure(progress, way, self._again(way))
        found = [way.known.get(candidate.trace) for candidate in candidates]
        search.learn(candidates, [() if record is None else record.seconds for record in found])
        self._judge(progress, before)

    def _measure_seeds(self, progress: Progress, way: Way) -> None:
        """What was best for near shapes and processors, as far as it can be had here."""
        left = self._settings.trials - self.trials
        near = self._log.near(
            way.workload,
            features=self._target.tuning_features,
            tvm=self._versions.tvm,
            threads=self._settings.threads,
            limit=min(SEEDS, left),
        )
        seeds = {seed.trace: seed for seed in way.transferred(near) if seed.trace not in way.known}
        if seeds:
            self._begin(f"measuring what was best for kernels like {progress.task.operator}")
            self._measure(progress, way, list(seeds.values()))

    def _again(self, way: Way) -> list[Candidate]:
        """What is measured in every round; an estimate stays what it is."""
        return way.contenders() if self._bench.source == MEASURED else []

    def _begin(self, step: str) -> None:
        """Says what comes next, unless the end was asked for."""
        self._interruption.check()
        self._tell(self.progress, step)

    def _judge(self, progress: Progress, before: float | None) -> None:
        """Whether the task is worth another round."""
        gain = 1.0 - progress.best / before if before and progress.best else 0.0
        progress.hope = max(gain, progress.hope / 2)
        progress.idle_rounds = 0 if gain >= LEAST_GAIN else progress.idle_rounds + 1
        if progress.idle_rounds >= self._settings.patience:
            progress.done = f"no gain in {progress.idle_rounds} rounds"

    def _search(self, way: Way) -> Search:
        if way.search is None:
            settings = self._settings
            way.search = Search(
                way.alternative,
                self._target,
                self._database(way),
                self._cost_model,
                most=settings.trials + len(way.known),
                round_size=settings.round_size,
                seed=settings.seed,
            )
        return way.search

    def _measure(self, progress: Progress, way: Way, candidates: Sequence[Candidate]) -> None:
        """Measures candidates; each is in the log before its board begins with the next."""
        task, settings = progress.task, self._settings
        expected = task.expected_sha256(way.alternative)
        request = Request(
            len(task.outputs), settings.threads, settings.repeats, settings.least_ms, self._target.cuda is not None
        )
        identity = f"arguments-{way.workload.hash}-{way.alternative.strategy.name}"
        arguments = write_arguments(self._folder, identity, task, way.alternative)

        def heard(number: int, measured: Measured, machine: Machine | None) -> None:
            record = self._record(way, candidates[number].trace, measured, machine, expected)
            self._log.add(record)
            way.hear(record, candidates[number])
            self._tell(self.progress, f"measuring {task.operator} {task.shape}")

        self._bench.measure([candidate.function for candidate in candidates], arguments, request, heard)

    def _record(
        self, way: Way, trace: str, measured: Measured, machine: Machine | None, expected: str
    ) -> Record:  # fmt: skip
        wrong = measured.error is None and measured.sha256 not in (None, expected)
        good = measured.error is None and not wrong
        board = machine or self._bench.machines[0]  # a candidate that was not built was meant for any
        return Record(
            workload=way.workload,
            strategy=way.alternative.strategy.name,
            trace=trace,
            seconds=measured.seconds if good else (),
            error=WRONG_BYTES if wrong else measured.error,
            threads=self._settings.threads,
            features=self._target.tuning_features,
            target=self._target.name,
            device=Device(board.name, board.description, board.computes, board.cores),
            conditions=_conditions(measured, board),
            versions=self._versions,
            source=self._bench.source,
            checked_by=CHECKED_BY if good and measured.sha256 is not None else None,
            tuned_at=datetime.now(timezone.utc),
        )

    def _database(self, way: Way) -> Any:
        """The log as MetaSchedule sees it."""
        from ...schedules.tuning_log.metaschedule import LogDatabase

        def accept(record: Record) -> bool:
            """MetaSchedule ends the run at a trace that does not apply: those of another space may be such."""
            return self._comparable(record, way)

        ranked = way.ranked if self._bench.source == ESTIMATED else None
        versions, threads = self._versions.tvm, self._settings.threads
        return LogDatabase(self._log, self._target, versions, threads, accept=accept, ranked=ranked)


def _worth_tuning(task: Task) -> tuple[Alternative, ...]:
    """All ways but the plain loop nest, which is the last resort, unless there is no other."""
    return task.alternatives[:-1] or task.alternatives


def _conditions(measured: Measured, machine: Machine) -> Conditions:
    found = measured.conditions or {}
    clock, throttled = found.get("clock_mhz"), found.get("throttled")
    return Conditions(
        clock_hz=None if clock is None else clock * 1e6,
        temperature_celsius=found.get("temperature_c"),
        governor=machine.governor,
        throttled=None if throttled is None else bool(throttled),
    )
