"""A quantized model or an artifact -> the estimate of its kernels; a model is compiled first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError, TargetError, ToolchainError
from ...targets import get_target
from ...targets.cuda import Cuda, runs_code_of
from ...targets.target import Target
from ..artifact import LIBRARY_FILE, Manifest, opened, read_manifest
from ..model_files import DESCRIPTION_FILE
from ..runtime.inputs import plan
from .cubin import cubin_in
from .estimate import ModelEstimate, estimate
from .sass import disassemble
from .warp_work import WarpWork, warp_work

DEFAULT_LENGTH = 128
"""Tokens of a model that is compiled for its estimate."""


def estimate_at(
    path: Path,
    target: Target | None,
    length: int | None = None,
    batch: int = 1,
    progress: Callable[[str], None] = lambda _: None,
) -> ModelEstimate:
    """The estimate of an inference of ``batch`` rows of ``length`` tokens.

    ``path``: an artifact, for the GPU of its own target or of ``target``; or a quantized model, which is compiled for
    ``target``. ``length``: by default the artifact's longest bucket; of a model 128 tokens, or all its positions.

    Raises TargetError where a CPU runs the operators or the GPU does not run the artifact's code, InputError for a
    length beyond the largest bucket, else what reading or compiling raises.
    """
    if target is not None:
        _gpu_of(target)
    with _artifact(path, target, length, batch, progress) as folder:
        manifest = read_manifest(folder)
        gpu = _gpu(manifest, target)
        work = warp_work_of((folder / LIBRARY_FILE).read_bytes())
    buckets = plan(manifest.buckets, [length or manifest.max_length] * batch)
    return estimate(manifest, gpu, (bucket for bucket, _ in buckets), work)


def warp_work_of(library: bytes) -> dict[str, WarpWork]:
    """What the warps of the kernels in ``library`` issue, by name; nothing where no disassembler reads their code."""
    cubin = cubin_in(library)
    if cubin is None:
        return {}
    try:
        functions = disassemble(cubin)
    except ToolchainError:
        return {}
    return {name: work for name, code in functions.items() if (work := warp_work(code)) is not None}


@contextmanager
def _artifact(
    path: Path, target: Target | None, length: int | None, batch: int, progress: Callable[[str], None]
) -> Iterator[Path]:
    """The folder of the artifact at ``path``, or of what the model there is compiled to, until the block ends."""
    if not (path / DESCRIPTION_FILE).is_file():
        with opened(path) as folder:
            yield folder
        return
    from ..build import compile_model
    from ..model_files import load

    if target is None:
        raise InputError(f"{path} is a quantized model; name with --target the GPU that it is to be estimated for")
    model = load(path)
    tokens = length or min(DEFAULT_LENGTH, model.architecture.positions)
    with tempfile.TemporaryDirectory(prefix="intbert-") as folder:
        output = Path(folder) / "artifact"
        yield compile_model(model, target, lengths=[tokens], batches=[batch], output=output, progress=progress)


def _gpu(manifest: Manifest, target: Target | None) -> Cuda:
    """The GPU that is meant; what it runs the code of."""
    if manifest.cuda is None:
        raise _runs_on_a_cpu(f"the artifact for {manifest.target.name}")
    gpu = _gpu_of(target or get_target(manifest.target.name))
    if not runs_code_of(gpu.sm, manifest.cuda.sm):
        raise TargetError(
            f"the artifact holds machine code for sm_{manifest.cuda.sm}, which {gpu.name} does not run; name a target "
            "of that chip, or compile the model for this one"
        )
    return gpu


def _gpu_of(target: Target) -> Cuda:
    if target.cuda is None:
        raise _runs_on_a_cpu(target.name)
    return target.cuda


def _runs_on_a_cpu(what: str) -> TargetError:
    return TargetError(
        f"{what} runs the operators on a CPU, and estimates are of a GPU's kernels; name a target with a GPU "
        "(`intbert targets` lists them), or measure on the machine itself: `intbert profile` without --estimate"
    )
