"""Where a library computes: tensors there, and copies to and from them."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ArtifactError
from .aligned import ALIGNMENT
from .library import tvm_runtime

CPU, CUDA = 1, 2
"""DLPack's numbers of kinds of devices."""
_FULL = "out of memory"
"""In CUDA's words for it."""
_FIRST, _DEFAULT_STREAM, _POOLED_ALLOCATOR = 0, 0, 2

Address = tuple[int, int, int]
"""Kind, number and allocator, as TVM's virtual machine takes them."""
HOST: Address = (CPU, _FIRST, _POOLED_ALLOCATOR)


class Device(ABC):
    """What computes."""

    @property
    @abstractmethod
    def address(self) -> Address:
        """For TVM's virtual machine."""

    @abstractmethod
    def resident(self, array: NDArray[Any]) -> Any:
        """A tensor of ``array``'s values that stays as it is. Raises ValueError for memory that is not aligned."""

    @abstractmethod
    def inputs(self, buffers: Sequence[NDArray[Any]]) -> list[Any]:
        """A tensor for each of ``buffers``, which :meth:`update` gives their values."""

    @abstractmethod
    def update(self, tensors: Sequence[Any], buffers: Sequence[NDArray[Any]]) -> None:
        """Before a call: ``tensors``, those of :meth:`inputs`, have the values of ``buffers``."""

    @abstractmethod
    def result(self, function: Callable[..., Any], *arguments: Any) -> NDArray[Any]:
        """A copy of the values of the tensor that ``function`` returns. Raises ArtifactError when memory runs out."""

    @abstractmethod
    def values(self, tensor: Any) -> NDArray[Any]:
        """A copy of the values that ``tensor`` has when all that was begun has ended."""

    @abstractmethod
    def wait(self) -> None:
        """Returns when all that was begun has ended."""


@dataclass(frozen=True)
class HostDevice(Device):
    """The CPU: it computes on NumPy's own memory, nothing is copied but the result."""

    @property
    def address(self) -> Address:
        return HOST

    def resident(self, array: NDArray[Any]) -> Any:
        return tvm_runtime().from_dlpack(array, require_alignment=ALIGNMENT)

    def inputs(self, buffers: Sequence[NDArray[Any]]) -> list[Any]:
        return [tvm_runtime().from_dlpack(buffer) for buffer in buffers]

    def update(self, tensors: Sequence[Any], buffers: Sequence[NDArray[Any]]) -> None:
        pass  # they are the same memory

    def result(self, function: Callable[..., Any], *arguments: Any) -> NDArray[Any]:
        # A copy: the memory behind the result goes back to the machine's pool.
        return self.values(function(*arguments))

    def values(self, tensor: Any) -> NDArray[Any]:
        return np.array(np.from_dlpack(tensor))

    def wait(self) -> None:
        pass  # every call has


@dataclass(frozen=True)
class CopyingDevice(Device):
    """A device with memory of its own, by default the first GPU: weights are copied to it once, inputs each time."""

    kind: int = CUDA

    @property
    def address(self) -> Address:
        return self.kind, _FIRST, _POOLED_ALLOCATOR

    def resident(self, array: NDArray[Any]) -> Any:
        tensor = self._allocated(array)
        _copy("runtime.TVMTensorCopyFromBytes", tensor, array)
        return tensor

    def inputs(self, buffers: Sequence[NDArray[Any]]) -> list[Any]:
        return [self._allocated(buffer) for buffer in buffers]

    def update(self, tensors: Sequence[Any], buffers: Sequence[NDArray[Any]]) -> None:
        for tensor, buffer in zip(tensors, buffers, strict=True):
            _copy("runtime.TVMTensorCopyFromBytes", tensor, buffer)

    def result(self, function: Callable[..., Any], *arguments: Any) -> NDArray[Any]:
        try:
            return self.values(function(*arguments))
        except RuntimeError as error:
            if _FULL in str(error):
                raise _full("an inference", error) from error
            raise

    def values(self, tensor: Any) -> NDArray[Any]:
        array = np.empty(tuple(tensor.shape), str(tensor.dtype))
        _copy("runtime.TVMTensorCopyToBytes", tensor, array)  # waits for what was begun
        return array

    def wait(self) -> None:
        tvm_runtime().get_global_func("runtime.Device_StreamSync")(self._device, _DEFAULT_STREAM)

    @property
    def _device(self) -> Any:
        return tvm_runtime().device({CPU: "cpu", CUDA: "cuda"}[self.kind], _FIRST)

    def _allocated(self, array: NDArray[Any]) -> Any:
        ffi = tvm_runtime()
        allocate = ffi.get_global_func("runtime.TVMTensorAllocWithScope")
        try:
            return allocate(ffi.Shape(array.shape), ffi.dtype(str(array.dtype)), self._device, None)
        except RuntimeError as error:
            raise _full(f"{array.nbytes / 1e6:.1f} MB more", error) from error


def _full(what: str, error: RuntimeError) -> ArtifactError:
    words = str(error).strip().partition("\n")[0]
    return ArtifactError(
        f"the device has no memory for {what} ({words}); end other programs on it, or compile for fewer or shorter "
        "--lengths"
    )


def _copy(function: str, tensor: Any, array: NDArray[Any]) -> None:
    address = ctypes.c_void_p(array.ctypes.data)
    tvm_runtime().get_global_func(function)(tensor, address, array.nbytes)
