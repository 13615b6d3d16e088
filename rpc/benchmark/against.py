"""An integer model against a float one of the same architecture: both on this machine, in one run, taking turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...compiler.artifact import Manifest, artifact_bytes, opened, read_manifest
from ...compiler.model import Architecture
from ...compiler.profile import OperatorTime, ProfileRequest
from ...errors import InputError
from ..sessions.here import HERE, local_session
from ..sessions.session import RemoteModel
from .float_process import FloatProcess, float_process
from .measurement import Measurement
from .plan import Plan
from .runner import Tell, run_in_turns

Baseline = Callable[[Architecture, int, int, int], AbstractContextManager[FloatProcess]]
BASELINES: Mapping[str, Baseline] = MappingProxyType({"fp32": float_process})
"""By name, what a model can be compared with: gets its architecture, threads, length and batch."""

PROFILE_RUNS = 20
TIMEOUT = 60.0


@dataclass(frozen=True)
class SlowOperator:
    """An operator of all layers that takes ``ms`` in an inference of the integer model, and ``baseline_ms`` (0: there
    is nothing to do) in one of the float model."""

    operator: str
    ms: float
    baseline_ms: float


@dataclass(frozen=True)
class Comparison:
    """``slow``: why the model is not faster, the worst first; empty where it is."""

    measurement: Measurement
    baseline: Measurement
    runtime: str
    slow: tuple[SlowOperator, ...]

    @property
    def speedup(self) -> float:
        """How many times as fast as its baseline the integer model is: of the medians."""
        return self.baseline.summary.p50_ms / self.measurement.summary.p50_ms

    def to_json(self) -> dict[str, Any]:
        """What there is to say of the baseline; the measurement of the integer model is not in it."""
        slow = [asdict(each) for each in self.slow]
        return {"runtime": self.runtime, "speedup": self.speedup, "slow_operators": slow, **self.baseline.to_json()}


def bench_against(artifact: Path, name: str, plan: Plan, tell: Tell) -> dict[str, Any]:
    """What :func:`.here.bench_here` gives, and under ``against`` the same of the baseline ``name``.

    Raises InputError for a baseline that does not exist, ToolchainError without what runs it, and what loading and
    running the artifact raises.
    """
    if name not in BASELINES:
        raise InputError(f"there is no baseline '{name}'; choose one of {', '.join(BASELINES)}")
    with opened(artifact) as folder:
        manifest = read_manifest(folder)
    with local_session(TIMEOUT) as board:
        board.session.check(artifact)
        model = board.session.load(board.session.upload(artifact), plan.threads)
        comparison = compare(model, manifest, BASELINES[name], plan, tell)
        sensors = model.sensors()
    return {
        "device": HERE,
        "target": manifest.target.name,
        "scheme": manifest.scheme,
        "artifact_bytes": artifact_bytes(artifact),
        "sensors": sensors,
        **comparison.measurement.to_json(),
        "against": {"baseline": name, **comparison.to_json()},
    }


def compare(model: RemoteModel, manifest: Manifest, baseline: Baseline, plan: Plan, tell: Tell) -> Comparison:
    """Measures both; where the integer model is not faster, the operators of both as well."""
    once = model.measure(plan.length, plan.batch, 1, 1.0)
    plan = replace(plan, length=once["length"])
    tell("loading the float model")
    with baseline(manifest.architecture, once["threads"], once["length"], plan.batch) as floats:
        measured, expected = run_in_turns([model, floats], plan, tell)
        comparison = Comparison(measured, expected, floats.runtime, ())
        if comparison.speedup > 1:
            return comparison
        tell("profiling")
        profile = model.profile(ProfileRequest(once["length"], plan.batch, PROFILE_RUNS))
        times = floats.operators(once["length"], plan.batch, PROFILE_RUNS)
    return replace(comparison, slow=slow_operators(profile.operators, times))


def slow_operators(operators: tuple[OperatorTime, ...], baseline: Mapping[str, float]) -> tuple[SlowOperator, ...]:
    """Those that take longer than in the float model, by how much; where none does, the one that gains least.

    What an integer model does in several operators (``layers.0.intermediate``, ``layers.0.intermediate.gelu``) and the
    float model in one, is one here.
    """
    ms: dict[str, float] = {}
    for operator in operators:
        name = _all_layers(_counterpart(operator.name, baseline))
        ms[name] = ms.get(name, 0.0) + operator.ms
    expected: dict[str, float] = {}
    for name, value in baseline.items():
        expected[_all_layers(name)] = expected.get(_all_layers(name), 0.0) + value
    found = [SlowOperator(name, value, expected.get(name, 0.0)) for name, value in ms.items()]
    slower = [each for each in found if each.ms > each.baseline_ms]
    if not slower:
        return tuple(sorted(found, key=lambda each: each.baseline_ms / each.ms)[:1])
    return tuple(sorted(slower, key=lambda each: each.baseline_ms - each.ms))


def _counterpart(operator: str, baseline: Mapping[str, float]) -> str:
    """The float model's name for it, or for what it is a part of; its own where there is none."""
    parts = operator.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in baseline), operator)


def _all_layers(operator: str) -> str:
    return re.sub(r"^layers\.\d+\.", "layers.*.", operator)
