"""This project's side: the model at a precision, compiled for an emulated CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from intbert.compiler.deploy import deploy
from intbert.compiler.model import QuantizedModel
from intbert.compiler.model_files import load, save
from intbert.targets import Target, get_target, toolchain
from peer_bench.cache import cached_folder, digest
from peer_bench.models import BenchmarkModel
from peer_bench.precisions import Precision, quantized
from peer_bench.repository import SENTENCES
from peer_bench.workspace import Workspace, checkpoint_key, sources

from .cpus import Cpu

QUANTIZERS = ("quantization", "compiler/model.py", "compiler/model_files.py", "compiler/packing.py")


def quantized_model(workspace: Workspace, model: BenchmarkModel, precision: Precision) -> QuantizedModel:
    """The model at this precision, from the cache or made now."""
    checkpoint = workspace.checkpoint(model)
    key = digest([*sources(*QUANTIZERS), SENTENCES], checkpoint_key(checkpoint), precision.name)
    folder = cached_folder(
        workspace.build / "cache", f"{model.name}-{precision.name}", key,
        lambda folder: save(quantized(checkpoint, precision), folder),
    )  # fmt: skip
    return load(folder)


def target_of(cpu: Cpu) -> Target:
    """What intbert compiles for the emulated CPU."""
    target = get_target(cpu.target)
    if not cpu.features:
        return target
    return replace(target, cpu=cpu.llvm, features=target.features | cpu.features)


@contextmanager
def symbols_kept() -> Iterator[None]:
    """Inside the block libraries are linked with their local symbols, which say whose code is whose."""
    options = tuple(option for option in toolchain._LD_OPTIONS if option != "--strip-all")
    with patch.object(toolchain, "_LD_OPTIONS", options):
        yield


def compiled(model: QuantizedModel, cpu: Cpu, length: int, folder: Path) -> Path:
    """An artifact of the working tree as it is, made anew each time, in ``folder``."""
    artifact = folder / "artifact"
    with symbols_kept():
        deploy(model, target_of(cpu), output=artifact, lengths=[length])
    return artifact
