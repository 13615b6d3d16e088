"""The NVIDIA driver and TVM's runtime for it: whether this machine can run an artifact's GPU code, and what it lacks.

The driver is asked first, by its own library: what is missing is then said in words, before TVM loads anything.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ArtifactError, ToolchainError
from ...targets.cuda import Release, compiles_ptx, loads_machine_code, runs_code_of
from ..artifact import CudaRecord
from .library import find_library, tvm_runtime

DRIVER = "libcuda.so.1"
TVM_CUDA = "libtvm_runtime_cuda.so"
CUDA_RUNTIME = "libcudart.so.13"
"""What TVM's wheel is linked with: CUDA 13, which JetPack 7 brings."""

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_NAME_BYTES = 256
_MULTIPROCESSORS, _CACHE_BYTES = 16, 38  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT and _L2_CACHE_SIZE
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_INSTEAD = "or compile for the CPU alone"


@dataclass(frozen=True)
class FoundGpu:
    """The first GPU of this machine: what it is called, its compute capability (87 is 8.7), and the newest CUDA release
    whose code its driver loads."""

    name: str
    sm: int
    release: Release

    def __str__(self) -> str:
        """``Orin (sm_87, driver of CUDA 12.6)``."""
        return "{} (sm_{}, driver of CUDA {}.{})".format(self.name, self.sm, *self.release)


@dataclass(frozen=True)
class GpuSize:
    """The multiprocessors of a GPU, and the bytes of its second-level cache."""

    multiprocessors: int
    cache_bytes: int


def gpu_size(needs: str) -> GpuSize:
    """Of the first GPU; raises as :func:`found_gpu`."""
    found_gpu(needs)
    driver = _driver(needs)
    return GpuSize(_attribute(driver, _MULTIPROCESSORS), _attribute(driver, _CACHE_BYTES))


def found_gpu(needs: str) -> FoundGpu:
    """Asks the driver. Raises ArtifactError, which begins with ``needs``, where there is no driver, none that works, or
    no GPU."""
    driver = _driver(needs)
    status = driver.cuInit(0)
    count = ctypes.c_int()
    if status == _NO_DEVICE or (not status and not driver.cuDeviceGetCount(ctypes.byref(count)) and not count.value):
        raise ArtifactError(
            f"{needs}, this machine's driver finds none; check that `nvidia-smi` lists one and that this user may use "
            f"it (on a Jetson: the group video), {_INSTEAD}"
        )
    if status:
        raise ArtifactError(f"{needs}, the driver does not start (error {status} of cuInit); restart, {_INSTEAD}")
    version, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetName(name, _NAME_BYTES, 0)
    release = version.value // 1000, version.value % 1000 // 10
    return FoundGpu(name.value.decode(errors="replace"), _compute_capability(driver), release)


def check_gpu(record: CudaRecord, target: str) -> None:
    """Raises ArtifactError unless the first GPU of this machine, with its driver, can run code for ``record``.

    ``target``: the artifact's, for messages.
    """
    needs = f"the artifact for {target} runs on a GPU"
    gpu = found_gpu(needs)
    known, wanted = "{}.{}".format(*gpu.release), "{}.{}".format(*record.release)
    if not loads_machine_code(gpu.release, record.release):
        raise ArtifactError(
            f"{needs} and was compiled by {record.compiler}; the driver knows CUDA {known} only: compile it with "
            f"--driver {known}, update the driver (on a Jetson: JetPack) to CUDA {record.release[0]}, {_INSTEAD}"
        )
    if gpu.sm < record.sm:
        raise ArtifactError(
            f"{needs} of compute capability {_dotted(record.sm)} or later, this machine's has {_dotted(gpu.sm)}; "
            f"compile it for that one (`intbert targets` lists them), {_INSTEAD}"
        )
    if not runs_code_of(gpu.sm, record.sm) and not compiles_ptx(gpu.release, record.release):
        raise ArtifactError(
            f"{needs} of compute capability {_dotted(record.sm)}; for that of this machine, {_dotted(gpu.sm)}, its "
            f"driver would have to compile PTX of CUDA {wanted}, and knows CUDA {known} only: compile it for that one "
            f"(`intbert targets` lists them), update the driver, {_INSTEAD}"
        )


def _driver(needs: str) -> Any:
    try:
        return ctypes.CDLL(DRIVER)
    except OSError:
        raise ArtifactError(
            f"{needs}, this machine has no NVIDIA driver ({DRIVER}); install it (a Jetson has it: JetPack), {_INSTEAD}"
        ) from None


def _compute_capability(driver: Any) -> int:
    return 10 * _attribute(driver, _MAJOR) + _attribute(driver, _MINOR)


def _attribute(driver: Any, attribute: int) -> int:
    value = ctypes.c_int()
    driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0)
    return value.value


def _dotted(sm: int) -> str:
    return f"{sm // 10}.{sm % 10}"


@functools.cache
def load_cuda_runtime() -> None:
    """Loads TVM's CUDA runtime and what it needs. Raises ToolchainError, saying how to get it, where it is missing."""
    tvm_runtime()
    path = find_library().with_name(TVM_CUDA)
    if not path.is_file():
        raise ToolchainError(f"{path} is missing; run `pip install apache-tvm`, or see docs/jetson.md for building it")
    try:
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        return
    except OSError as error:
        if CUDA_RUNTIME not in str(error):
            raise ToolchainError(f"{path} cannot be loaded ({error}); see docs/jetson.md") from error
    # The loader does not look where packages and toolkits put it.
    _load_cuda_runtime_library()
    ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def _load_cuda_runtime_library() -> None:
    specification = importlib.util.find_spec("nvidia")
    packages = (specification.submodule_search_locations or []) if specification is not None else []
    places = [*(Path(package).glob("*/lib") for package in packages), Path("/usr/local").glob("cuda*/lib64")]
    for path in (folder / CUDA_RUNTIME for folders in places for folder in folders):
        if path.is_file():
            ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
            return
    raise ToolchainError(
        f"{CUDA_RUNTIME} is not installed; run `pip install nvidia-cuda-runtime`, on a Jetson install JetPack 7 "
        "(docs/jetson.md says what to do on an older one)"
    )
