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
from .devices import HOST, Device
from .inputs import Tokens
from .library import tvm_runtime
from .weights import mapped_weights

Instrument = Callable[..., int]
"""Takes the function that is called, its name, whether this is before the call, what it returned (None before it),
and its arguments; returns 0."""

# The dynamic loader takes a path that it knows for the library that it loaded from there, even when another
# one lies there by now. So a path that was seen with another content is opened under a name of its own.
_loaded: dict[Path, str] = {}
_loading = threading.Lock()


class VirtualMachine:
    """The functions of a compiled library, with its weights."""

    def __init__(self, library: Path, manifest: Manifest, device: Device) -> None:
        """Maps ``library``; the caller has checked that it is whole and that this machine's ``device`` can run it."""
        self._manifest = manifest
        self._device = device
        self._instrumented = False
        self._shapes: dict[str, CompiledShape] = {}
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
        try:
            self._functions = ffi.load_module(str(path))["vm_load_executable"]()
            # Once for the device that computes, once for the host.
            self._functions["vm_initialization"](*self._device.address, *HOST)
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            raise ArtifactError(f"{path} cannot be loaded ({_first_line(error)}); compile it again") from error
        self._weights = mapped_weights(path, self._manifest.weights, self._device)

    def wait(self) -> None:
        """Returns when the device has done all that it was told to."""
        self._device.wait()

    @contextmanager
    def instrumented(self, instrument: Instrument) -> Iterator[None]:
        """Has the machine call ``instrument`` before and after every call that it makes, until the block ends.

        Inside the block :meth:`shape` gives functions that call kernel by kernel.
        """
        self._functions["set_instrument"](instrument)
        self._instrumented = True
        try:
            yield
        finally:
            self._instrumented = False
            self._functions["set_instrument"](None)

    def shape(self, bucket: Bucket) -> CompiledShape:
        """The function compiled for ``bucket``: the same object, with the same input tensors, every time."""
        graph = self._manifest.cuda is not None
        name = bucket.stepwise_function if graph and self._instrumented else bucket.function
        if name not in self._shapes:
            self._shapes[name] = self._compiled_shape(name, bucket)
        return self._shapes[name]

    def _compiled_shape(self, name: str, bucket: Bucket) -> CompiledShape:
        try:
            function = self._functions[name]
        except AttributeError as error:
            raise ArtifactError(f"the library has no {name}; compile it again") from error
        pad_token_id = self._manifest.architecture.pad_token_id
        return CompiledShape(function, bucket, self._weights, pad_token_id, self._device)


class CompiledShape:
    """A compiled function with its input buffers. Not for several threads at once."""

    def __init__(
        self, function: Callable[..., Any], bucket: Bucket, weights: Any, pad_token_id: int, device: Device
    ) -> None:
        self._function = function
        self._weights = weights
        self._pad_token_id = pad_token_id
        self._buffers = [aligned_zeros((bucket.batch, bucket.length), np.int32) for _ in range(3)]
        self._device = device
        self._tensors = device.inputs(self._buffers)

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
        self._device.update(self._tensors, self._buffers)
        return self._device.result(self._function, *self._tensors, self._weights)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
