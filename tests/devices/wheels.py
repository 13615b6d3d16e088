"""Python packages for the board: its wheels, of the versions that this machine's environment has."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from .unavailable import UnavailableError

SECONDS = 300

RUNTIME_PACKAGES = ("apache-tvm", "apache-tvm-ffi", "numpy", "tokenizers", "typing-extensions")
"""All that a compiled model needs on a board: of apache-tvm, the runtime libraries and the Python files."""

# The newest glibc is Debian 12's; every older manylinux runs on it.
PLATFORMS = (*(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)), "manylinux2014_aarch64")

# The compiler (300 MB), headers and CUDA's runtime have no place on a board.
_LEFT_OUT = (
    "tvm/lib/libtvm_compiler",
    "tvm/lib/libtvm_runtime_cuda",
    "tvm/include/",
    "tvm/3rdparty/",
    "tvm/src/",
)


def runtime_requirements() -> tuple[str, ...]:
    """``RUNTIME_PACKAGES``, each pinned to the version that runs these tests."""
    return tuple(f"{name}=={importlib.metadata.version(name)}" for name in RUNTIME_PACKAGES)


def unpack_wheels(requirements: Sequence[str], python: str, work: Path, site: Path) -> None:
    """Downloads aarch64 wheels for CPython ``python`` ("3.11") and unpacks them into ``site``."""
    if importlib.util.find_spec("pip") is None:
        raise UnavailableError(f"the board's wheels are downloaded by pip, which {sys.executable} does not have")
    wheels = work / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--implementation=cp", f"--python-version={python}", f"--dest={wheels}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    try:
        done = subprocess.run([*command, *requirements], capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"`pip download` did not end within {SECONDS} s") from None
    if done.returncode:
        words = " ".join(done.stderr.split())
        raise UnavailableError(f"`pip download` of the board's wheels failed: {words[-500:]}")
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site, [name for name in archive.namelist() if not name.startswith(_LEFT_OUT)])
