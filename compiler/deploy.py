"""From a quantized model to an artifact on disk that is complete or not there at all."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..targets import Target
from .artifact import Manifest, opened, pack, read_manifest
from .model import QuantizedModel
from .staging import staged_file, staged_folder

TAR = ".tar"


def deploy(
    model: QuantizedModel,
    target: Target,
    *,
    output: Path | str,
    lengths: Sequence[int] = (32, 64, 128),
    batches: Sequence[int] = (1,),
    force: bool = False,
    progress: Any = None,
) -> Manifest:
    """Compiles ``model`` for ``target`` into the artifact ``output``: a folder, or a file if it ends in .tar.

    ``lengths`` (tokens) and ``batches`` (rows) are the shapes to compile. Raises OutputError when ``output``
    exists (unless ``force``) or cannot be written, and what compiling raises.
    """
    from .build import compile_model

    output = Path(output)
    options: dict[str, Any] = {"lengths": lengths, "batches": batches, "progress": progress}
    if output.suffix == TAR:
        with staged_file(output, force) as staging, tempfile.TemporaryDirectory(prefix="intbert-") as folder:
            compile_model(model, target, output=Path(folder), **options)
            pack(Path(folder), staging)
    else:
        with staged_folder(output, force) as staging:
            compile_model(model, target, output=staging, **options)
    with opened(output) as folder:
        return read_manifest(folder)
