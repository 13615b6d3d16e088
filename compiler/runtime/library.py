"""TVM's runtime library, loaded without ``import tvm`` (which brings the compiler: 1.3 s and 190 MB)."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ...errors import ToolchainError

LIBRARY = "libtvm_runtime.so"
# TVM's own variable for where its libraries lie: a board may have this library and no Python package of TVM.
LIBRARY_PATH_VARIABLE = "TVM_LIBRARY_PATH"


class _Unwanted(MetaPathFinder):
    """Makes importing a module of ``names`` fail."""

    names = frozenset({"torch", "ml_dtypes", "_hashlib"})

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.names:
            raise ImportError(f"{fullname} is not wanted here")
        return None


@contextmanager
def without_unwanted() -> Iterator[None]:
    """tvm_ffi imports these where they are installed, for what nobody does here; it can do without.

    torch costs 0.8 s and 180 MB, ml_dtypes (bfloat16 and others in NumPy) 2.4 MB, _hashlib (OpenSSL) 3.7 MB.
    """
    finder = _Unwanted()
    had_hashlib = "hashlib" in sys.modules
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if not had_hashlib:
            sys.modules.pop("hashlib", None)  # whoever imports it next gets it with OpenSSL


def find_library() -> Path:
    """Where libtvm_runtime.so lies; raises ToolchainError that says how to get it."""
    folders = [Path(folder) for folder in os.environ.get(LIBRARY_PATH_VARIABLE, "").split(os.pathsep) if folder]
    specification = importlib.util.find_spec("tvm")  # finds, does not import
    if specification is not None and specification.origin is not None:
        folders.append(Path(specification.origin).parent / "lib")
    for folder in folders:
        if (folder / LIBRARY).is_file():
            return folder / LIBRARY
    raise ToolchainError(
        f"{LIBRARY} is not installed; run `pip install apache-tvm`, or name its folder in {LIBRARY_PATH_VARIABLE}"
    )


@functools.cache
def tvm_runtime() -> ModuleType:
    """The module ``tvm_ffi`` with TVM's runtime loaded behind it; ToolchainError when either is missing."""
    try:
        with without_unwanted():
            import tvm_ffi
    except ImportError as error:
        raise ToolchainError(f"apache-tvm-ffi cannot be imported ({error}); see `intbert doctor`") from error
    path = find_library()
    try:
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ToolchainError(f"{path} cannot be loaded ({error}); see `intbert doctor`") from error
    return tvm_ffi
