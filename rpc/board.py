"""The functions that a session can call on a board. Needs the runtime only: no ``import tvm``, no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..compiler.runtime.library import tvm_runtime
from ..errors import InputError, IntbertError, RemoteError
from .protocol import decode_array, encode_array, encode_error

if TYPE_CHECKING:
    from ..compiler.runtime import Model

PREFIX = "intbert."
"""Our functions' names in TVM's table of global functions begin with it."""

Answer = bytes | str


class Board:
    """One session's view of the board: a folder of its own, and the models that it loaded from there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models: dict[str, Model] = {}

    def features(self) -> bytes:
        """JSON: the architecture and the sorted instruction set features of the CPU."""
        from ..targets.features import host_arch, host_features

        return json.dumps({"arch": host_arch(), "features": sorted(host_features())}).encode()

    def write(self, name: str, offset: int, data: bytes) -> bytes:
        """Writes ``data`` at byte ``offset`` of the session's file ``name``; offset 0 starts it anew."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                file.write(data)
        except OSError as error:
            raise RemoteError(f"cannot write {name}: {error.strerror}; make room on the board") from error
        return b""

    def load(self, name: str, threads: int) -> bytes:
        """Loads the uploaded artifact ``name`` to run on ``threads`` threads (0: the runtime's choice)."""
        from ..compiler.runtime import load

        self.models[name] = load(self.path(name), threads=threads or None)
        return b""

    def run(self, name: str, input_ids: bytes, attention_mask: bytes, token_type_ids: bytes) -> bytes:
        """The integer output of the loaded artifact ``name``; arrays are .npy, an absent one is no bytes."""
        if name not in self.models:
            raise RemoteError(f"{name} is not loaded; upload and load it in this session first")
        ids = decode_array(input_ids)
        if ids is None:
            raise InputError("input_ids are missing")
        model = self.models[name]
        return encode_array(model.run(ids, decode_array(attention_mask), decode_array(token_type_ids)))

    def path(self, name: str) -> Path:
        """Where the session's file ``name`` lies; refuses names that leave the session's folder."""
        relative = PurePosixPath(name)
        if relative.is_absolute() or not relative.parts or ".." in relative.parts:
            raise RemoteError(f"{name!r} is not a name inside the session's folder; use a relative path without '..'")
        return self.folder / relative

    def load_module(self, name: str) -> Any:
        """The uploaded library ``name`` as a module (what TVM's ``RPCSession.load_module`` calls)."""
        return tvm_runtime().load_module(str(self.path(name)))


def register(board: Board) -> None:
    """Puts the functions of ``board`` into this process's table of global functions."""
    tvm_ffi = tvm_runtime()
    for method in (board.features, board.write, board.load, board.run):
        tvm_ffi.register_global_func(PREFIX + method.__name__, _answering(method), override=True)
    tvm_ffi.register_global_func("tvm.rpc.server.workpath", lambda name: str(board.path(name)), override=True)
    tvm_ffi.register_global_func("tvm.rpc.server.load_module", board.load_module, override=True)


def _answering(method: Callable[..., bytes]) -> Callable[..., Answer]:
    """``method``, its typed errors turned into answers; others reach the host as TVM reports them."""

    @functools.wraps(method)
    def answer(*arguments: Any) -> Answer:
        try:
            return method(*arguments)
        except IntbertError as error:
            return encode_error(error)

    return answer
