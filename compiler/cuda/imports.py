"""The device code inside a library: CUDA source, as TVM's code generator leaves it, replaced by what a driver loads.

TVM 0.27 puts all modules that the host's code imports into one blob of the library, each by its kind and its bytes;
a module of kind ``cuda`` is the format of its code, the kernels' signatures and the code. The runtime on the board
hands code of the format ``fatbin`` to the driver, so no compiler is needed there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...errors import ToolchainError

KIND = "cuda"
FORMAT = b"fatbin"
_HOST_CODE = b"_lib"  # a mark only: it is the library itself
_CALLBACK = "tvm_callback_cuda_compile"
_COUNT = struct.Struct("<Q")


@contextmanager
def source_only() -> Iterator[None]:
    """While it is open, TVM leaves CUDA source as it is. Where there is a GPU it would compile it, for that one."""
    import tvm_ffi

    before = tvm_ffi.get_global_func(_CALLBACK, allow_missing=True)
    tvm_ffi.register_global_func(_CALLBACK, lambda source: source.encode(), override=True)
    try:
        yield
    finally:
        if before is None:
            tvm_ffi.remove_global_func(_CALLBACK)
        else:
            tvm_ffi.register_global_func(_CALLBACK, before, override=True)


def cuda_source(module: Any) -> str:
    """The CUDA source of the kernels that ``module``, TVM's, or what it imports was compiled to."""
    found = _find(module)
    if found is None:
        raise ToolchainError("TVM has made no CUDA code; see `intbert doctor`")
    return str(found.inspect_source("cuda"))


def _find(module: Any) -> Any:
    if module.kind == KIND:
        return module
    return next((found for found in map(_find, module.imports) if found is not None), None)


def with_fatbin(blob: bytes, source: str, fatbin: bytes) -> bytes:
    """``blob``, TVM's packed imports, with ``fatbin`` in place of ``source``; ToolchainError where that is missing."""
    reader = _Reader(blob)
    size = reader.count()
    if size != len(blob) - _COUNT.size:
        raise _unknown()
    tree_start = reader.position
    modules = len(reader.counts()) - 1
    reader.counts()
    written = [blob[tree_start : reader.position]]
    replaced = 0
    for _ in range(modules):
        kind = reader.string()
        written.append(_packed(kind))
        if kind == _HOST_CODE:
            continue
        content = reader.string()
        if kind == KIND.encode():
            content, replaced = _replaced(content, source.encode(), fatbin), replaced + 1
        written.append(_packed(content))
    if replaced != 1 or reader.position != len(blob):
        raise _unknown()
    return _packed(b"".join(written))


def _replaced(content: bytes, source: bytes, fatbin: bytes) -> bytes:
    start = _Reader(content)
    start.string()  # the format
    code = _packed(source)
    if not content.endswith(code):
        raise _unknown()
    return _packed(FORMAT) + content[start.position : -len(code)] + _packed(fatbin)


@dataclass
class _Reader:
    data: bytes
    position: int = 0

    def count(self) -> int:
        try:
            (value,) = _COUNT.unpack_from(self.data, self.position)
        except struct.error:
            raise _unknown() from None
        self.position += _COUNT.size
        return value

    def counts(self) -> list[int]:
        return [self.count() for _ in range(min(self.count(), len(self.data)))]

    def string(self) -> bytes:
        size = self.count()
        value = self.data[self.position : self.position + size]
        self.position += size
        return value


def _packed(value: bytes) -> bytes:
    return _COUNT.pack(len(value)) + value


def _unknown() -> ToolchainError:
    return ToolchainError(
        "TVM packed the CUDA kernels in a form that is not known here; install the pinned TVM (see `intbert doctor`)"
    )
