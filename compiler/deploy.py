"""From a quantized model to an artifact on disk: a folder, or one file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..targets import Target
from .artifact import Manifest, opened, pack, read_manifest
from .model import QuantizedModel
from .staging import staged_file

if TYPE_CHECKING:
    from .kernels import Tuned

TAR = ".tar"


def deploy(
    model: QuantizedModel,
    target: Target,
    *,
    output: Path | str,
    lengths: Sequence[int] | None = None,
    batches: Sequence[int] = (1,),
    force: bool = False,
    tuned: Tuned | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Compiles ``model`` for ``target`` into the artifact ``output``: a folder, or a file if it ends in .tar.

    ``lengths`` (tokens; by default 32, 64, 128 and 256) and ``batches`` (rows) are the shapes to compile; ``tuned``
    knows better schedules than the default ones; ``progress`` is told each step. Raises OutputError when ``output``
    exists (unless ``force``) or cannot be written, and what compiling raises.
    """
    from .build import compile_model  # brings TVM's compiler

    output = Path(output)
    if output.suffix == TAR:
        with staged_file(output, force) as staging, tempfile.TemporaryDirectory(prefix="intbert-") as folder:
            artifact = Path(folder) / "artifact"
            compile_model(
                model, target, lengths=lengths, batches=batches, output=artifact, tuned=tuned, progress=progress
            )
            pack(artifact, staging)
    else:
        compile_model(
            model,
            target,
            lengths=lengths,
            batches=batches,
            output=output,
            force=force,
            tuned=tuned,
            progress=progress,
        )
    with opened(output) as folder:
        return read_manifest(folder)
