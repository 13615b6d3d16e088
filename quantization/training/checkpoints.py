"""The checkpoints of a run: which is the last good one, and whether a run may go on from it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import OutputError, TrainingError
from .student import Student

RECIPE_FILE = "recipe.json"
STATE_FILE = "trainer_state.json"
"""Written last, so a checkpoint without it, or with half of it, was being written when its run was killed."""


def last_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint of the most steps in ``folder``; None where there is none."""
    complete = [path for path in folder.glob("checkpoint-*") if _is_complete(path)]
    return max(complete, key=_step, default=None)


def remove_incomplete(folder: Path) -> None:
    """Removes what a run that was killed was writing."""
    for path in folder.glob("checkpoint-*"):
        if not _is_complete(path):
            shutil.rmtree(path, ignore_errors=True)


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _is_complete(path: Path) -> bool:
    try:
        json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
        return _step(path) > 0
    except (OSError, ValueError):
        return False


def fingerprint(student: Student) -> str:
    """A hash of the float parameters: a run goes on only from the model that it began with."""
    digest = hashlib.sha256()
    for name, parameter in sorted(student.float_parameters.items()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def claim(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Makes ``folder`` that of the run described by ``recipe``.

    Raises TrainingError when it is another run's, OutputError when it cannot be written.
    """
    path = folder / RECIPE_FILE
    wanted = json.loads(json.dumps(recipe))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            found = _read(path)
            if found is not None:
                _refuse_other(folder, found, wanted)
                return
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}); choose another work folder") from None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refuse_other(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key in sorted({*found, *wanted}):
        if found.get(key) != wanted.get(key):
            raise TrainingError(
                f"{folder} holds another run's checkpoints ({key} was {found.get(key)!r}, now it is "
                f"{wanted.get(key)!r}); choose another work folder, or remove this one"
            )
