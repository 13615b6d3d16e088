"""The kernels of an executable as machine code, and how they get into its library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ToolchainError
from ...targets.cuda import Cuda
from ...targets.cuda_compilers import CudaBinary, compiler_for
from ...targets.elf import data_object
from ..artifact import CudaRecord, GpuKernel
from .cubin import kernels_of
from .imports import cuda_source, with_fatbin
from .launches import launches_of_kernels
from .multipliers import multipliers
from .occupancy import occupancy

OBJECT = "device_code.o"


@dataclass(frozen=True)
class DeviceCode:
    """``source``: CUDA C++, as TVM has made it; ``binary``: what was compiled from it; ``record``: what it needs."""

    source: str
    binary: CudaBinary
    record: CudaRecord

    def packer(self, arch: str) -> Callable[..., str]:
        """What TVM's ``export_library(..., fpack_imports=...)`` takes: writes the object that holds the imports."""

        def pack(module: Any, is_system_library: bool, symbol_prefix: str, folder: str) -> str:
            from tvm.runtime import _ffi_api

            blob = _ffi_api.ModulePackImportsToTensor(module).numpy().tobytes()
            packed = with_fatbin(blob, self.source, self.binary.fatbin)
            path = Path(folder) / OBJECT
            path.write_bytes(data_object(packed, str(_ffi_api.ModuleImportsBlobName()), arch))
            return str(path)

        return pack


def compile_for_gpu(compiled: Any, scheduled: Any, gpu: Cuda) -> DeviceCode:
    """Compiles for ``gpu`` the kernels of ``compiled``, TVM's module of the scheduled IRModule ``scheduled``.

    Raises ToolchainError where no compiler knows the chip, when it fails, and when the chip cannot hold a block of some
    kernel.
    """
    compiler = compiler_for(gpu)
    source = cuda_source(compiled)
    binary = compiler.compile(source, gpu)
    launches, multiplied_by = launches_of_kernels(scheduled), multipliers(binary.ptx)
    kernels = tuple(
        GpuKernel(
            kernel.name,
            kernel.registers,
            kernel.local_bytes,
            kernel.shared_bytes + launches[kernel.name].dynamic_shared_bytes,
            kernel.threads,
            occupancy(kernel, gpu.architecture, launches[kernel.name].dynamic_shared_bytes),
            launches[kernel.name].blocks,
            multiplied_by[kernel.name].value,
        )
        for kernel in kernels_of(binary.cubin)
    )
    for kernel in kernels:
        if not kernel.occupancy:
            raise ToolchainError(
                f"{kernel.name}: a block of {kernel.threads} threads needs {kernel.registers} registers a thread and "
                f"{kernel.shared_bytes} bytes of shared memory, which {gpu.name} lacks; compile with shorter --lengths"
            )
    return DeviceCode(source, binary, CudaRecord(gpu.sm, compiler.name, compiler.release, kernels))
