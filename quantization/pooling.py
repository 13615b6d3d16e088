"""The folder layout of sentence-transformers: ``modules.json``, ``1_Pooling``, ``2_Normalize``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError

MODULES_FILE = "modules.json"


@dataclass(frozen=True)
class SentenceModules:
    """What ``modules.json`` describes: the transformer's folder, and whether embeddings are normalized."""

    transformer: Path
    normalize: bool


def read_json(path: Path) -> Any:
    """The JSON document in ``path``; raises CheckpointError when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent}: {path.name} is missing; this is no Hugging Face checkpoint") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged JSON ({error}); copy it again") from None


def read_modules(folder: Path) -> SentenceModules | None:
    """What ``folder/modules.json`` describes, or None when there is no such file.

    Raises CheckpointError unless it is a transformer, mean pooling, and optionally a normalization.
    """
    if not (folder / MODULES_FILE).is_file():
        return None
    document = read_json(folder / MODULES_FILE)
    try:
        modules = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in document]
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{folder / MODULES_FILE}: damaged list of modules ({error!r}); copy it again") from None
    types = [kind for kind, _ in modules]
    if types not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise CheckpointError(
            f"{folder / MODULES_FILE}: modules {types} are not supported; "
            "Transformer, Pooling (mean) and optionally Normalize are"
        )
    paths = [path for _, path in modules]
    for path in paths:
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise CheckpointError(f"{folder / MODULES_FILE}: module path '{path}' lies outside of the folder")
    _check_mean(folder / paths[1] / "config.json")
    return SentenceModules(folder / paths[0], normalize="Normalize" in types)


def _check_mean(path: Path) -> None:
    config = read_json(path)
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: damaged pooling configuration; copy it again")
    # Version 6 writes one `pooling_mode`, older ones a flag for each mode.
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [key.removeprefix("pooling_mode_") for key, value in config.items() if "pooling_mode_" in key and value]
    modes = modes if isinstance(modes, list) else [modes]
    if modes not in (["mean"], ["mean_tokens"]):
        raise CheckpointError(f"{path}: pooling {modes} is not supported; mean pooling is")
