"""A kernel's arguments as a file that boards can read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...compiler.kernels import Alternative
from ...compiler.tasks import Task


@dataclass(frozen=True)
class Arguments:
    """The arguments of a kernel as an ``.npz`` file, and the name that tells it from all others of the run."""

    path: Path
    identity: str


def write_arguments(folder: Path, identity: str, task: Task, alternative: Alternative) -> Arguments:
    """Writes the arguments of the alternative's kernel into ``folder``, once."""
    path = folder / f"{identity}.npz"
    if not path.exists():
        arrays = task.arguments(alternative)
        np.savez(path, allow_pickle=False, **{str(number): array for number, array in enumerate(arrays)})
    return Arguments(path, identity)
