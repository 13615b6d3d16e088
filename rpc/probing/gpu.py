"""Whether an artifact can use a board's NVIDIA GPU, and what to do where it cannot."""

from __future__ import annotations

from .facts import BoardFacts, CudaFacts

CUDA_RELEASE = 13
"""The major version of CUDA that apache-tvm's wheel is linked with."""
OLDEST_CHIP = 75
"""The oldest compute capability that CUDA 13 knows."""
_RECIPE = "or build TVM's runtime for it (docs/jetson.md)"

# Jetson Linux (L4T) -> the JetPack that it is part of.
_JETPACK_BY_L4T = {32: 4, 34: 5, 35: 5, 36: 6, 38: 7}


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
    if _chip(cuda.sm) < OLDEST_CHIP:
        return (
            f"CUDA {CUDA_RELEASE}, which TVM's runtime from PyPI needs, does not know compute capability "
            f"{cuda.sm[0]}.{cuda.sm[1]}; use its CPU, {_RECIPE}"
        )
    if cuda.runtime is not None and cuda.runtime[0] >= CUDA_RELEASE:
        return None
    return f"TVM's runtime from PyPI needs CUDA {CUDA_RELEASE}, this machine has {_found(cuda)}; {_update(cuda)}"


def _found(cuda: CudaFacts) -> str:
    runtime = "no CUDA runtime" if cuda.runtime is None else "CUDA {}.{}".format(*cuda.runtime)
    jetpack = _jetpack(cuda)
    return runtime if jetpack is None else f"{runtime} (JetPack {jetpack})"


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
