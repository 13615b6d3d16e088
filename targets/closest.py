"""The preset that suits a machine best: by the machine's name, else by its cores, else generic code."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import TargetError
from .cuda import runs_code_of
from .presets import list_presets, user_presets_file
from .target import Target

MEMORY_TOLERANCE = 0.25
"""Part of a preset's memory by which a machine's may differ unmentioned: systems keep some of it for themselves."""


@dataclass(frozen=True)
class Choice:
    """A preset, and in one sentence why it is the closest."""

    target: Target
    reason: str


@dataclass(frozen=True)
class _Machine:
    """The arguments of :func:`closest_preset`. ``own`` is the preset of the machine's name, whether it fits or not."""

    features: frozenset[str]
    cpus: tuple[str, ...]
    model: str | None
    own: Target | None
    gpu: int | None

    def lacks(self, target: Target) -> list[str]:
        """The features that code for ``target`` uses and that are missing here."""
        return sorted(target.features - self.features)

    def not_by_name(self) -> str:
        """Why its name does not decide: the beginning of a sentence."""
        if self.own is not None:
            return f"{self.model} offers no {', '.join(self.lacks(self.own))}, which {self.own.name} needs; "
        return f"no preset is called {self.model}; " if self.model else ""


def closest_preset(
    *,
    arch: str,
    features: Collection[str],
    cpus: Sequence[str],
    model: str | None,
    cores: int,
    memory_mb: int | None,
    gpu: int | None = None,
    presets: Path | None = None,
) -> Choice:
    """Return the preset to compile for, of those that need no instruction that the machine lacks.

    ``features`` are canonical and closed under implication; ``cpus`` are LLVM's names of the kinds of cores, in the
    system's order, as far as they are known; ``model`` is what the device tree calls the machine; ``memory_mb`` is in
    MiB. ``gpu`` is the compute capability of an NVIDIA GPU (87 is 8.7) that the runtime can use there: a preset with
    such a GPU is then preferred, otherwise none is chosen. ``presets``: a file of the user's own targets, in place of
    the default one.

    Raises TargetError, naming what is missing, when the machine can run the code of no preset.
    """
    known = list_presets(presets)
    of_arch = [target for target in known if target.arch == arch]
    candidates = [target for target in of_arch if target.cuda is None]
    if not candidates:
        described = ", ".join(sorted({target.arch for target in known}))
        raise TargetError(f"there is no preset for {arch} machines; presets are for {described}")
    machine = _Machine(frozenset(features), tuple(cpus), model, _named(model, candidates), gpu)
    fitting = [target for target in of_arch if not machine.lacks(target)]
    for rule in _RULES:
        choice = rule(machine, fitting)
        if choice is not None:
            break
    else:
        raise _no_preset(machine, arch, candidates)
    return Choice(choice.target, choice.reason + _differences(choice.target, cores, memory_mb))


def core_title(cpu: str) -> str:
    """LLVM's name of a core as its maker writes it: ``cortex-a78ae`` is Cortex-A78AE."""
    family, *parts = cpu.split("-")
    return "-".join([family.capitalize(), *(part.upper() for part in parts)])


def _by_gpu(machine: _Machine, fitting: Sequence[Target]) -> Choice | None:
    if machine.gpu is None:
        return None
    gpu = machine.gpu
    usable = [target for target in fitting if target.cuda is not None and runs_code_of(gpu, target.cuda.sm)]
    if not usable:
        return None
    best = max(target.cuda.sm for target in usable if target.cuda is not None)
    closest = [target for target in usable if target.cuda is not None and target.cuda.sm == best]
    target = _named(machine.model, closest) or closest[0]
    return Choice(target, f"its GPU has compute capability {gpu // 10}.{gpu % 10}, as {target.name}")


def _by_model(machine: _Machine, fitting: Sequence[Target]) -> Choice | None:
    if machine.own is None or machine.own not in fitting:
        return None
    return Choice(machine.own, f"{machine.model} is what {machine.own.name} stands for")


def _by_core(machine: _Machine, fitting: Sequence[Target]) -> Choice | None:
    for cpu in machine.cpus:
        target = next((target for target in _cpus(fitting) if target.cpu == cpu), None)
        if target is not None:
            return Choice(target, f"{machine.not_by_name()}it has {core_title(cpu)} cores, as {target.name}")
    return None


def _generic(machine: _Machine, fitting: Sequence[Target]) -> Choice | None:
    generic = [t for t in _cpus(fitting) if t.cpu == "generic" or t.cpu.startswith("x86-64")]
    if not generic:
        return None
    target = max(generic, key=lambda target: len(target.features))  # of equals the first
    if machine.own is not None:
        return Choice(target, f"{machine.not_by_name()}generic code for {target.name} it is")
    subject = machine.model or (f"the core {core_title(machine.cpus[0])}" if machine.cpus else None)
    why = f"{subject} is not known here" if subject else "the richest preset that it can run"
    return Choice(target, f"generic code for {target.name}: {why}")


# The nearest comes first.
_RULES: tuple[Callable[[_Machine, Sequence[Target]], Choice | None], ...] = (_by_gpu, _by_model, _by_core, _generic)


def _cpus(targets: Sequence[Target]) -> list[Target]:
    """Those whose CPU runs the operators."""
    return [target for target in targets if target.cuda is None]


def _named(model: str | None, targets: Sequence[Target]) -> Target | None:
    """The target whose longest ``models`` entry stands in ``model`` as whole words; of equals the first."""
    found = [(len(words), target) for target in targets for words in target.models if _contains(model or "", words)]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _contains(text: str, words: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text, re.IGNORECASE) is not None


def _differences(target: Target, cores: int, memory_mb: int | None) -> str:
    found = []
    if cores != target.cores:
        found.append(f"{cores} cores where the preset has {target.cores}")
    if memory_mb and target.memory_mb and abs(memory_mb - target.memory_mb) > MEMORY_TOLERANCE * target.memory_mb:
        found.append(f"{_gigabytes(memory_mb)} of memory where the preset has {_gigabytes(target.memory_mb)}")
    return f" ({', '.join(found)})" if found else ""


def _gigabytes(mebibytes: int) -> str:
    return f"{round(mebibytes / 1024, 1):g} GB"


def _no_preset(machine: _Machine, arch: str, candidates: Sequence[Target]) -> TargetError:
    least = min(candidates, key=lambda target: len(machine.lacks(target)))
    missing = machine.lacks(least)
    why = (
        f"it lacks {', '.join(missing)}, which even {least.name} needs" if missing else f"{least.name} is another kind"
    )
    return TargetError(
        f"no preset fits this {arch} machine: {why}; describe it in {user_presets_file()} and name it with --target"
    )
