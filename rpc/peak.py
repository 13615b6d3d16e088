"""Measures a machine's peak for a profile: builds the kernel of :mod:`..compiler.peak` here, and times it there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import ArtifactTarget, Manifest
from ..compiler.profile import Peak
from ..errors import ToolchainError
from .on_board.kernels import KernelArguments, Request, measure

if TYPE_CHECKING:
    from .sessions.session import Session

REQUEST = Request(outputs=1, threads=1, repeats=15, least_ms=3.0)
"""The best sample counts: nothing makes a machine faster than it is."""

_LIBRARY, _ARGUMENTS = "peak.so", "peak.npz"

Measure = Callable[[Path, Path], dict[str, Any]]
"""Gets the paths of the kernel's library and of its arguments; what :func:`.on_board.kernels.measure` gives."""


def cpu_of(manifest: Manifest) -> ArtifactTarget:
    """The CPU that runs the operators; ToolchainError where a GPU does, whose peak is not measured."""
    if manifest.cuda is not None:
        raise ToolchainError(f"{manifest.target.name}: the peak of a GPU is not measured")
    return manifest.target


def peak_here(target: ArtifactTarget) -> Peak:
    """The peak of one thread of this machine, which can run code for ``target``.

    Raises ToolchainError where there is no compiler, linker or instruction to measure it with.
    """
    from .telemetry import Sensors

    sensors = Sensors(cpus=os.sched_getaffinity(0))
    return _peak(target, lambda library, arguments: measure(library, KernelArguments(arguments), sensors, REQUEST))


def peak_on(session: Session, target: ArtifactTarget) -> Peak:
    """As :func:`peak_here`, of the board of ``session``; raises what the session raises, too."""

    def measure_there(library: Path, arguments: Path) -> dict[str, Any]:
        session.put(_LIBRARY, library)
        session.put(_ARGUMENTS, arguments)
        return session.measure_kernel(_LIBRARY, _ARGUMENTS, asdict(REQUEST))

    return _peak(target, measure_there)


def _peak(target: ArtifactTarget, measure: Measure) -> Peak:
    try:
        from ..compiler.peak import best_instruction, build_peak_library
    except ImportError as error:
        raise ToolchainError(
            f"TVM's compiler is not installed here ({error}); profile with --device from a machine that has it"
        ) from None
    instruction = best_instruction(target)
    with tempfile.TemporaryDirectory(prefix="intbert-") as folder:
        library, arguments = Path(folder) / _LIBRARY, Path(folder) / _ARGUMENTS
        build_peak_library(instruction, target, library)
        arrays = {str(number): array for number, array in enumerate(instruction.arguments())}
        np.savez(arguments, allow_pickle=False, **arrays)
        seconds = min(measure(library, arguments)["seconds"])
    return Peak(instruction.name, instruction.macs_of_a_call / seconds / 1e9)
