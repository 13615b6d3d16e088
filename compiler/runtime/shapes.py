"""TVM's virtual machine for one library, and its function for one compiled shape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ArtifactError
from ..artifact import LIBRARY_FILE, Bucket, Manifest
from .aligned import aligned_zeros
from .inputs import Tokens
from .library import tvm_runtime
from .weights import mapped_weights

_CPU, _FIRST_DEVICE, _POOLED_ALLOCATOR = 1, 0, 2

Instrument = Callable[..., int]
"""Takes the function that is called, its name, whether this is before the call, what it returned (None before it),
and its arguments; returns 0."""

# The dynamic loader takes a path that it knows for the library that it loaded from there, even when another
# one lies there by now. So a path that was seen with another content is opened under a name of its own.
_loaded: dict[Path, str] = {}
_loading = threading.Lock()


class VirtualMachine:
    """The functions of a compiled library, with its weights."""

    def __init__(self, library: Path, manifest: Manifest) -> None:
        """Maps ``library``; the caller has checked that it is whole and that this processor can run it."""
        self._manifest = manifest
        path, digest = library.resolve(), manifest.files[LIBRARY_FILE].sha256
        with _loading:
            if _loaded.setdefault(path, digest) == digest:
                self._open(path)
                return
            import tempfile

            with tempfile.TemporaryDirectory(prefix="intbert-") as folder:
                alias = Path(folder) / path.name
                alias.symlink_to(path)
                self._open(alias)

    def _open(self, path: Path) -> None:
        ffi = tvm_runtime()
        device = (_CPU, _FIRST_DEVICE, _POOLED_ALLOCATOR)
        try:
            self._functions = ffi.load_module(str(path))["vm_load_executable"]()
            # Once for the device that computes, once for the host; here both are the CPU.
            self._functions["vm_initialization"](*device, *device)
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            raise ArtifactError(f"{path} cannot be loaded ({_first_line(error)}); compile it again") from error
        self._weights = mapped_weights(path, self._manifest.weights)

    @contextmanager
    def instrumented(self, instrument: Instrument) -> Iterator[None]:
        """Has the machine call ``instrument`` before and after every call that it makes, until the block ends."""
        self._functions["set_instrument"](instrument)
        try:
            yield
        finally:
            self._functions["set_instrument"](None)

    def shape(self, bucket: Bucket) -> CompiledShape:
        """The function compiled for ``bucket``."""
        try:
            function = self._functions[bucket.function]
        except AttributeError as error:
            raise ArtifactError(f"the library has no {bucket.function}; compile it again") from error
        return CompiledShape(function, bucket, self._weights, self._manifest.architecture.pad_token_id)


class CompiledShape:
    """A compiled function with its input buffers. Not for several threads at once."""

    def __init__(self, function: Callable[..., Any], bucket: Bucket, weights: Any, pad_token_id: int) -> None:
        self._function = function
        self._weights = weights
        self._pad_token_id = pad_token_id
        self._buffers = [aligned_zeros((bucket.batch, bucket.length), np.int32) for _ in range(3)]
        self._tensors = [tvm_runtime().from_dlpack(buffer) for buffer in self._buffers]

    def __call__(self, tokens: Tokens) -> NDArray[Any]:
        """The output [bucket.batch, ...] for at most as many rows and tokens as the bucket holds."""
        rows, length = tokens.ids.shape
        ids, mask, types = self._buffers
        for buffer, padding in ((ids, self._pad_token_id), (mask, 0), (types, 0)):
            buffer[rows:] = padding
            buffer[:rows, length:] = padding
        mask[rows:, 0] = 1  # a softmax over no token at all is not defined
        ids[:rows, :length] = tokens.ids
        mask[:rows, :length] = tokens.mask
        types[:rows, :length] = tokens.types
        # A copy: the memory behind the result goes back to the machine's pool.
        return np.array(np.from_dlpack(self._function(*self._tensors, self._weights)))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
