"""What `intbert eval` can judge: the registry of kinds of models, and how each predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import boards

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..compiler.model import HeadKind

MAX_LENGTH = 128
"""Tokens; a text with more is cut, here as in an artifact whose largest bucket holds so many."""


@dataclass(frozen=True)
class Predictor:
    """Something that turns texts into floats. ``predict``: sentences or pairs -> float32 [n, channels]."""

    kind: str
    head: HeadKind
    predict: Callable[[list[Any]], NDArray[np.float32]]


@contextmanager
def predictor(path: Path, threads: int | None, place: boards.Place | None, wait: float) -> Iterator[Predictor]:
    """The model at ``path``, here or (an artifact) on a board; raises InputError when it is of no known kind."""
    if place is None:
        yield _here(path, threads)
        return
    with boards.loaded_on(path, threads, place, wait) as model:
        head = model.manifest.output.kind
        yield Predictor(f"artifact on {model.where}", head, lambda texts: model(texts, truncate=True))


def _here(path: Path, threads: int | None) -> Predictor:
    if path.is_file():
        return _artifact(path, threads)
    for file, build in _KINDS.items():
        if (path / file).is_file():
            return build(path, threads)
    raise InputError(
        f"{path} holds no model; give a float checkpoint, a quantized model or an artifact "
        f"(a folder with {', '.join(_KINDS)})"
    )


def _artifact(path: Path, threads: int | None) -> Predictor:
    from ..compiler.runtime import load

    model = load(path, threads)
    return Predictor("artifact", model.manifest.output.kind, lambda texts: model(texts, truncate=True))


def _quantized(path: Path, threads: int | None) -> Predictor:
    from ..compiler.model_files import load
    from ..compiler.oracle_model import OracleModel

    model = load(path)
    return Predictor("quantized model", model.architecture.head.kind, OracleModel(model, MAX_LENGTH))


def _float(path: Path, threads: int | None) -> Predictor:
    from ..quantization import load_float_model

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    model = load_float_model(path)

    def predict(texts: Sequence[Any]) -> NDArray[np.float32]:
        return model.predict(texts, MAX_LENGTH)

    return Predictor("float checkpoint", model.architecture.head.kind, predict)


_KINDS = {"manifest.json": _artifact, "quantization.json": _quantized, "config.json": _float}
"""The file that tells a kind of model -> how to load it."""
