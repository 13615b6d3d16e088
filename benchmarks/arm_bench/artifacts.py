"""This project's side: a model compiled for an emulated CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from intbert.compiler.deploy import deploy
from intbert.compiler.model import QuantizedModel
from intbert.targets import get_target, toolchain

from .cpus import Cpu


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
        deploy(model, get_target(cpu.target), output=artifact, lengths=[length])
    return artifact
