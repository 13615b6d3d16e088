"""An artifact of this machine that runs on a device: what ``intbert.load`` gives here, there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...compiler.artifact import Manifest, opened, read_manifest
from ...compiler.runtime.floats import to_float
from .board_session import Terms
from .boards import Devices, OpenBoard
from .session import RemoteModel

if TYPE_CHECKING:
    from ...compiler.runtime.text import Text

TEXTS_AT_A_TIME = 32
"""How many texts one call takes, so that its time stays within the limit on any board."""


@dataclass(frozen=True)
class RemoteArtifact:
    """A loaded artifact: ``model`` is the one on the board, ``manifest`` its description."""

    model: RemoteModel
    manifest: Manifest

    @property
    def where(self) -> str:
        """The board, in words."""
        return self.model.where

    def __call__(self, texts: Sequence[Text], *, truncate: bool = False) -> NDArray[np.float32]:
        """As calling a ``Model``: the output for each text as floats."""
        return self.to_float(self.run_texts(texts, truncate=truncate))

    def run_texts(self, texts: Sequence[Text], *, truncate: bool = False) -> NDArray[Any]:
        """As ``Model.run_texts``: the integers, computed on the board."""
        parts = [
            self.model.run_texts(texts[start : start + TEXTS_AT_A_TIME], truncate=truncate)
            for start in range(0, len(texts), TEXTS_AT_A_TIME)
        ]
        return _joined(parts)

    def to_float(self, integers: NDArray[Any]) -> NDArray[np.float32]:
        """As ``Model.to_float``."""
        return to_float(self.manifest.output, integers)


@contextmanager
def remote_artifact(artifact: Path, device: str, terms: Terms, threads: int | None = None) -> Iterator[RemoteArtifact]:
    """Sends the artifact to the device, as far as it is not there, and loads it; the session lasts for the block."""
    with artifact_on(Devices().open(device, terms), artifact, threads, terms) as model:
        yield model


@contextmanager
def artifact_on(
    opening: AbstractContextManager[OpenBoard], artifact: Path, threads: int | None, terms: Terms
) -> Iterator[RemoteArtifact]:
    """As :func:`remote_artifact`, on the board that ``opening`` gives."""
    with opened(artifact) as folder:
        manifest = read_manifest(folder)
    with opening as board:
        yield RemoteArtifact(load_on(board, artifact, threads, terms), manifest)


def load_on(board: OpenBoard, artifact: Path, threads: int | None, terms: Terms) -> RemoteModel:
    """Checks that the board can run the artifact, sends what is not there, and loads it."""

    def show(sent: int, total: int) -> None:
        terms.tell(f"sending the artifact: {sent / 1e6:.1f} of {total / 1e6:.1f} MB")

    board.session.check(artifact)
    return board.session.load(board.session.upload(artifact, show), threads)


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """One array of the rows of all: those of a head that speaks of every token may differ in length."""
    longest = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].ndim)]
    whole = np.zeros((sum(len(part) for part in parts), *longest), parts[0].dtype)
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        start += len(part)
    return whole
