"""Whether an artifact can use a board's NVIDIA GPU, and what to do where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...targets.cuda import Release
from ...targets.cuda_compilers import OLDEST_OF_CUDA_13
from .facts import BoardFacts, CudaFacts

CUDA_RELEASE = 13
"""The major version of CUDA that apache-tvm's wheel is linked with."""
_RECIPE = "or build TVM's runtime for it (docs/jetson.md)"

# Jetson Linux (L4T) -> the JetPack that it is part of, and the first CUDA release that its driver was of.
_JETPACK_BY_L4T: Mapping[int, int] = MappingProxyType({32: 4, 34: 5, 35: 5, 36: 6, 38: 7})
_DRIVER_BY_L4T: Mapping[int, Release] = MappingProxyType(
    {32: (10, 2), 34: (11, 4), 35: (11, 4), 36: (12, 2), 38: (13, 0)}
)


def usable_gpu(facts: BoardFacts) -> int | None:
    """The compute capability (87 is 8.7) of a GPU that the runtime from PyPI can use; None where there is none."""
    if facts.cuda is None or facts.cuda.sm is None or gpu_problem(facts) is not None:
        return None
    return _chip(facts.cuda.sm)


def gpu_problem(facts: BoardFacts) -> str | None:
    """Why the board's GPU cannot be used, with the remedy; None where it can, and where there is none."""
    cuda = facts.cuda
    if cuda is None:
        return None
    if cuda.sm is None:
        return "its compute capability cannot be told; update the driver to 510 or later"
    if _chip(cuda.sm) < OLDEST_OF_CUDA_13:
        return (
            f"CUDA {CUDA_RELEASE}, which TVM's runtime from PyPI needs, does not know compute capability "
            f"{cuda.sm[0]}.{cuda.sm[1]}; use its CPU, {_RECIPE}"
        )
    found = _too_old(cuda)
    if found is None:
        return None
    jetpack = _jetpack(cuda)
    found = found if jetpack is None else f"{found} (JetPack {jetpack})"
    return f"TVM's runtime from PyPI needs CUDA {CUDA_RELEASE}, this machine has {found}; {_update(cuda)}"


def driver_release(cuda: CudaFacts | None) -> Release | None:
    """The CUDA release of the board's driver: as it says itself, else as the system's release brings it; None where
    neither is known."""
    if cuda is None:
        return None
    if cuda.driver_release is not None or cuda.l4t is None:
        return cuda.driver_release
    return _DRIVER_BY_L4T.get(_major(cuda.l4t) or 0)


def _too_old(cuda: CudaFacts) -> str | None:
    """Which part of its CUDA is older than what the runtime needs, or missing; None where nothing is."""
    if cuda.runtime is None:
        return "no CUDA runtime"
    if cuda.runtime[0] < CUDA_RELEASE:
        return "CUDA {}.{}".format(*cuda.runtime)
    driver = driver_release(cuda)
    if driver is not None and driver[0] < CUDA_RELEASE:
        return "a driver of CUDA {}.{}".format(*driver)
    return None


def _update(cuda: CudaFacts) -> str:
    if cuda.l4t is None:
        return f"install a driver and a toolkit of CUDA {CUDA_RELEASE}"
    if (_major(cuda.l4t) or 0) >= max(_JETPACK_BY_L4T):
        return "`sudo apt install nvidia-jetpack` brings it"
    return f"update to JetPack 7, {_RECIPE}"


def _jetpack(cuda: CudaFacts) -> str | None:
    """As the package says, else the major version that the system's release belongs to."""
    if cuda.jetpack is not None:
        return cuda.jetpack.partition("+")[0]
    major = None if cuda.l4t is None else _major(cuda.l4t)
    return None if major is None or major not in _JETPACK_BY_L4T else str(_JETPACK_BY_L4T[major])


def _major(version: str) -> int | None:
    major = version.partition(".")[0]
    return int(major) if major.isdecimal() else None


def _chip(sm: tuple[int, int]) -> int:
    return 10 * sm[0] + sm[1]
