"""The method ``auto``: the smallest, or the fastest, post-training model whose metric drops no more than it may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...compiler.model import QuantizedModel
from ...compiler.oracle_model import OracleModel
from ...errors import SchemeError
from ..evaluation import Score, evaluate
from ..glue import get_task
from ..methods import METHODS, Method
from ..request import Calibration, Request, Training
from ..size import stored_bits
from ..task_sentences import task_sentences
from . import search
from .latency import LatencyTable, read_latency_table
from .options import AutoOptions
from .sensitivity import measure_sensitivity
from .simulation import MAX_LENGTH, Simulation
from .trade_off import Judged, TradeOff, cheapest, drop_of
from .units import WORDS, Bits, Cost, Unit, overrides, units_of, weight_bytes

ORDER = "auto"


def quantize_auto(request: Request) -> QuantizedModel:
    """Searches methods and bits; the model that was chosen has the whole trade-off in its provenance (``auto``).

    Raises SchemeError (no task, a malformed latency table, nothing within the drop: it says what came nearest),
    EvaluationError for bad data, and what the methods raise.
    """
    if request.training is None:
        raise SchemeError("the method auto judges models on a task; give --task and its --data")
    options = request.options or AutoOptions()
    return _Search(_calibrated(request, request.training), request.training, options).run()


def _calibrated(request: Request, training: Training) -> Request:
    """``request`` with sentences to calibrate on: its own, or of the task's training set."""
    if request.calibration is not None:
        return request
    chosen = task_sentences(training.task, training.data, request.model.architecture.head.kind)
    return replace(request, calibration=Calibration(request.model.batches(chosen, MAX_LENGTH)))


@dataclass
class _Search:
    request: Request
    training: Training
    options: AutoOptions
    other_bytes: dict[str, int] = field(default_factory=dict)
    """Of each method's models: what is not the units' integers."""

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        return units_of(self.request.model.architecture)

    @cached_property
    def table(self) -> LatencyTable | None:
        if not self.options.latency_table:
            return None
        table = read_latency_table(Path(self.options.latency_table))
        table.check(self.units)
        return table

    @cached_property
    def cost(self) -> Cost:
        return weight_bytes if self.table is None else self.table

    @cached_property
    def trade_off(self) -> TradeOff:
        objective = "bytes" if self.table is None else "latency"
        metric = get_task(self.training.task).metric.value
        return TradeOff(self.training.task, metric, self.options.max_drop, objective)

    def run(self) -> QuantizedModel:
        limit = self.options.examples or None
        _ = self.table  # a malformed one is said now, not after minutes
        methods = self._methods()
        original = self._score(self.request.model.predict, limit, "float model")
        slice_score = self._score(self.request.model.predict, self.options.search_examples, "float model")
        self.trade_off.float_value, self.trade_off.examples = original.value, original.n
        self.trade_off.search_examples = slice_score.n
        candidates = [self._candidate(method, slice_score.value) for method in methods]
        chosen = self._confirm(candidates, original.value, limit)
        return replace(
            chosen, provenance={**chosen.provenance, "searched": "auto", "auto": self.trade_off.to_document()}
        )

    def _methods(self) -> list[Method]:
        names = [name.strip() for name in self.options.methods.split(",")]
        found = [METHODS[name] for name in names if name in METHODS and not METHODS[name].trains and name != ORDER]
        if not found:
            known = ", ".join(name for name, method in METHODS.items() if not method.trains and name != ORDER)
            raise SchemeError(f"methods is {self.options.methods!r}; the post-training methods are {known}")
        return found

    def _score(self, predict: Callable[[list[Any]], Any], limit: int | None, label: str) -> Score:
        def progress(iterable: Any, description: str, total: int) -> Any:
            return self.request.progress(iterable, f"{label}: {description}", total)

        head = self.request.model.architecture.head.kind
        return evaluate(self.training.task, self.training.data, predict, limit, progress, head)

    def _quantize(self, method: Method, bits: Bits) -> QuantizedModel:
        """The model of ``method`` whose units have ``bits``."""
        words = bits[WORDS] if bits[WORDS] in method.embedding_bits else None
        most = max(bits[unit.name] for unit in self.units if unit.name != WORDS)
        scheme = method.customized(weight_bits=most, embedding_bits=words)
        tensors = {name: count for name, count in overrides(self.units, bits).items() if name != WORDS}
        return method.quantize(
            replace(
                self.request,
                scheme=replace(scheme, weight_overrides=tensors),
                options=method.parse_options({}),
                training=None,  # with which ibert would train
            )
        )

    def _candidate(self, method: Method, original: float) -> _Candidate:
        """The path of ``method``, and how far it goes by simulation on the slice."""
        choices = [bits for bits in self.options.bit_choices if bits in method.weight_bits]
        uniform = {bits: self._quantize(method, self._uniform(method, bits)) for bits in choices}
        simulation = Simulation(self.request.model, self.units, uniform)
        self.other_bytes[method.name] = stored_bits(uniform[8]) // 8 - self._unit_bytes(self._uniform(method, 8))
        calibration = self.request.needed_calibration()
        batches = _some(calibration, self.options.sensitivity_sentences)
        sensitivity = measure_sensitivity(
            self.request.model, simulation, self.units, choices, batches, self.request.progress, method.name
        )
        sensitivity = {
            unit: {bits: error for bits, error in errors.items() if unit != WORDS or bits in method.embedding_bits}
            for unit, errors in sensitivity.items()
        }
        self.trade_off.sensitivity[method.name] = sensitivity
        path = search.path(self.units, sensitivity, self.cost)

        def is_good(index: int) -> bool:
            simulated = simulation.with_bits(path[index])
            score = self._score(simulated, self.options.search_examples, f"{method.name}: {index} of {len(path) - 1}")
            return (
                self._judge(method, path[index], score.value, original, confirmed=False).drop <= self.options.max_drop
            )

        return _Candidate(method, path, max(search.last_good(len(path), is_good), 0))

    def _uniform(self, method: Method, bits: int) -> dict[str, int]:
        words = bits if bits in method.embedding_bits else 8
        return {unit.name: words if unit.name == WORDS else bits for unit in self.units}

    def _judge(self, method: Method, bits: Bits, value: float, original: float, *, confirmed: bool) -> Judged:
        latency = None if self.table is None else sum(self.table(unit, bits[unit.name]) for unit in self.units)
        size = self.other_bytes[method.name] + self._unit_bytes(bits)
        judged = Judged(method.name, dict(bits), confirmed, value, drop_of(original, value), size, latency)
        self.trade_off.configurations.append(judged)
        return judged

    def _confirm(self, candidates: list[_Candidate], original: float, limit: int | None) -> QuantizedModel:
        """Judges integer models, the most promising method's first; the cheapest within the drop."""
        candidates.sort(key=self._promise)
        models: dict[int, QuantizedModel] = {}
        budget = self.options.confirmations
        for rank, candidate in enumerate(candidates):
            share = budget - len(self.trade_off.confirmed) if rank == len(candidates) - 1 else -(-budget // 2)
            share = min(share, budget - len(self.trade_off.confirmed))
            best = min((judged.cost() for judged in self._within()), default=None)
            if share < 1 or (best is not None and self._promise(candidate) >= best):
                continue

            def is_good(index: int, candidate: _Candidate = candidate) -> bool:
                bits = candidate.path[index]
                model = self._quantize(candidate.method, bits)
                label = f"{candidate.method.name}: integer model {len(self.trade_off.confirmed) + 1} of up to {budget}"
                score = self._score(OracleModel(model, MAX_LENGTH), limit, label)
                judged = self._judge(candidate.method, bits, score.value, original, confirmed=True)
                judged.bytes = stored_bits(model) // 8
                models[id(judged)] = model
                return judged.drop <= self.options.max_drop

            search.confirmed(len(candidate.path), candidate.start, is_good, share)
        chosen = self.trade_off.choose()
        if chosen is None:
            nearest = cheapest(self.trade_off.confirmed)
            raise SchemeError(
                f"no model within {self.options.max_drop:g} points was found; the nearest of "
                f"{len(self.trade_off.confirmed)} was {nearest.describe()}; allow more, or quantize with training"
            )
        return models[id(chosen)]

    def _within(self) -> list[Judged]:
        return [judged for judged in self.trade_off.confirmed if judged.drop <= self.options.max_drop]

    def _promise(self, candidate: _Candidate) -> float:
        """The cost of what a simulation found good."""
        bits = candidate.path[candidate.start]
        if self.table is not None:
            return sum(self.table(unit, bits[unit.name]) for unit in self.units)
        return self.other_bytes[candidate.method.name] + self._unit_bytes(bits)

    def _unit_bytes(self, bits: Bits) -> int:
        return round(sum(weight_bytes(unit, bits[unit.name]) for unit in self.units))


@dataclass(frozen=True)
class _Candidate:
    method: Method
    path: list[Bits]
    start: int
    """The last configuration of the path within the drop, by simulation."""


def _some(calibration: Calibration, sentences: int) -> list[Any]:
    """Batches of so many sentences, of every length."""
    batches = list(calibration.batches)
    per_batch = max(1, sentences // len(batches))
    chosen = []
    for batch in batches[:sentences]:
        rows = slice(0, per_batch)
        chosen.append(
            replace(
                batch,
                rows=batch.rows[rows],
                input_ids=batch.input_ids[rows],
                attention_mask=batch.attention_mask[rows],
                token_type_ids=batch.token_type_ids[rows],
            )
        )
    return chosen
