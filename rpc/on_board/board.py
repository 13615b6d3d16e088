"""The functions that a session can call on a board. Needs the runtime only: no ``import tvm``, no torch."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ...compiler.runtime.library import find_library, tvm_runtime
from ...errors import InputError, IntbertError, RemoteError
from ..sessions.protocol import decode_array, encode_array, encode_error
from ..telemetry import CPU, GPU, PROCESSORS, Processor, Sensors
from . import machine
from .room import room
from .store import Store

if TYPE_CHECKING:
    from ...compiler.runtime import Model
    from .kernels import KernelArguments

PREFIX = "intbert."
"""Our functions' names in TVM's table of global functions begin with it."""

EXTRA_LIBRARY = "libtvm_runtime_extra.so"
"""Beside TVM's runtime library: functions that TVM's own clients call on a board, and we do not."""

Answer = bytes | str

CALLABLE = (
    *("features", "machine", "gpu", "gpu_size", "room", "conditions", "sensor_inventory"),
    *("missing", "write", "commit", "place", "remove"),
    *("load", "run", "run_texts", "measure", "profile"),
    *("measure_kernel",),
)
"""The methods of :class:`Board` that a session can call."""


class Board:
    """One session's view of the board: a folder of its own, the store, and the models that it loaded."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.models: dict[str, Model] = {}
        self.arguments: dict[str, KernelArguments] = {}
        self._sensors: dict[str, Sensors] = {}

    def features(self) -> bytes:
        """JSON: the architecture and the sorted instruction set features of the CPU."""
        from ...targets.features import host_arch, host_features

        return json.dumps({"arch": host_arch(), "features": sorted(host_features())}).encode()

    def machine(self) -> bytes:
        """JSON: what the board and its processor are called, how many cores this session may use, their governor."""
        governor = self.sensors(CPU).describe().governor
        found = {"description": machine.describe(), "cpu": machine.processor(), "cores": machine.usable_cores()}
        return json.dumps({**found, "governor": governor}).encode()

    def gpu(self) -> bytes:
        """JSON: the first GPU (:class:`...compiler.runtime.driver.FoundGpu`); ArtifactError where there is none."""
        from ...compiler.runtime.driver import found_gpu

        return json.dumps(asdict(found_gpu("measuring kernels of a GPU needs one"))).encode()

    def gpu_size(self) -> bytes:
        """JSON: its size (:class:`...compiler.runtime.driver.GpuSize`); raises as :meth:`gpu`."""
        from ...compiler.runtime.driver import gpu_size

        return json.dumps(asdict(gpu_size("measuring kernels of a GPU needs one"))).encode()

    def room(self) -> bytes:
        """JSON: what the store's file system and the memory have room for (:class:`.room.Room`)."""
        return json.dumps(asdict(room(self.store.folder))).encode()

    def missing(self, digests: str) -> bytes:
        """JSON: those of the SHA-256 in the JSON list ``digests`` whose files the store does not have."""
        return json.dumps(self.store.missing(json.loads(digests))).encode()

    def write(self, digest: str, offset: int, data: bytes) -> bytes:
        """Writes ``data`` at byte ``offset`` of a file that is on its way to the store."""
        self.store.write(digest, offset, data)
        return b""

    def commit(self, digest: str) -> bytes:
        """Ends the way of a file to the store; RemoteError when it is damaged."""
        self.store.commit(digest)
        return b""

    def place(self, files: str) -> bytes:
        """Gives files of the store names in the session's folder: ``files`` is a JSON object, name -> SHA-256."""
        for name, digest in json.loads(files).items():
            path = self.path(name)
            path.unlink(missing_ok=True)
            self.store.place(digest, path)
        return b""

    def remove(self, name: str) -> bytes:
        """Deletes the session's file ``name``."""
        self.path(name).unlink(missing_ok=True)
        return b""

    def load(self, name: str, threads: int) -> bytes:
        """Loads the uploaded artifact ``name`` to run on ``threads`` threads (0: the runtime's choice).

        JSON: how many milliseconds that took, the tokens of its largest bucket, and which processor runs it.
        """
        from ...compiler.runtime import load
        from .sampling import processor_of

        start = time.perf_counter_ns()
        model = self.models[name] = load(self.path(name), threads=threads or None)
        elapsed = time.perf_counter_ns() - start
        answer = {"load_ms": elapsed / 1e6, "max_length": model.max_length, "processor": processor_of(model).name}
        return json.dumps(answer).encode()

    def run_texts(self, name: str, texts: str, truncate: bool) -> bytes:
        """The integers of the loaded artifact ``name`` for sentences, or pairs of them, in a JSON list."""
        pairs_or_texts = [tuple(text) if isinstance(text, list) else text for text in json.loads(texts)]
        return encode_array(self._model(name).run_texts(pairs_or_texts, truncate=truncate))

    def conditions(self, processor: str) -> bytes:
        """JSON: clock, temperature, throttling and power of ``processor`` as they are now."""
        return json.dumps(asdict(self.sensors(PROCESSORS[processor]).read())).encode()

    def sensor_inventory(self, processor: str) -> bytes:
        """JSON: which of these the board can tell, and from where."""
        return json.dumps(asdict(self.sensors(PROCESSORS[processor]).describe())).encode()

    def measure(self, name: str, request: str) -> bytes:
        """JSON: samples of the loaded artifact ``name``; ``request`` is a :class:`.sampling.Request` as JSON."""
        from .sampling import Request, measure, processor_of

        model = self._model(name)
        return json.dumps(measure(model, self.sensors(processor_of(model)), Request(**json.loads(request)))).encode()

    def profile(self, name: str, request: str) -> bytes:
        """JSON: a :class:`.Profile` of the loaded artifact ``name``; ``request`` is a ProfileRequest as JSON."""
        from ...compiler.profile import ProfileRequest
        from ...compiler.runtime.profiling import profile

        return json.dumps(profile(self._model(name), ProfileRequest(**json.loads(request))).to_json()).encode()

    def measure_kernel(self, library: str, arguments: str, request: str) -> bytes:
        """JSON: the times and the outputs' hash of an uploaded kernel, on the arguments of an uploaded ``.npz`` file;
        ``request`` is a :class:`.kernels.Request` as JSON."""
        from . import kernels

        asked = kernels.Request(**json.loads(request))
        if arguments not in self.arguments:
            self.arguments = {}  # of one kernel at a time
            self.arguments[arguments] = kernels.KernelArguments(self.path(arguments), kernels.device(asked.on_gpu))
        sensors = self.sensors(GPU if asked.on_gpu else CPU)
        measured = kernels.measure(self.path(library), self.arguments[arguments], sensors, asked)
        return json.dumps(measured).encode()

    def run(self, name: str, input_ids: bytes, attention_mask: bytes, token_type_ids: bytes) -> bytes:
        """The integer output of the loaded artifact ``name``; arrays are .npy, an absent one is no bytes."""
        model = self._model(name)
        ids = decode_array(input_ids)
        if ids is None:
            raise InputError("input_ids are missing")
        return encode_array(model.run(ids, decode_array(attention_mask), decode_array(token_type_ids)))

    def _model(self, name: str) -> Model:
        if name not in self.models:
            raise RemoteError(f"{name} is not loaded; upload and load it in this session first")
        return self.models[name]

    def sensors(self, processor: Processor) -> Sensors:
        """Those of ``processor``, as far as this process may use it; found once."""
        if processor.name not in self._sensors:
            self._sensors[processor.name] = Sensors(cpus=os.sched_getaffinity(0), processor=processor)
        return self._sensors[processor.name]

    def path(self, name: str) -> Path:
        """Where the session's file ``name`` lies; refuses names that leave the session's folder."""
        relative = PurePosixPath(name)
        if relative.is_absolute() or not relative.parts or ".." in relative.parts:
            raise RemoteError(f"{name!r} is not a name inside the session's folder; use a relative path without '..'")
        return self.folder / relative

    def work_path(self, name: str) -> str:
        """Where TVM's own functions (``RPCSession.upload``) put the file ``name``; "" is the session's folder."""
        _load_extra_library()  # MetaSchedule uploads, then fills arrays with a function of it
        self.folder.mkdir(parents=True, exist_ok=True)
        return str(self.path(name) if name else self.folder)

    def load_module(self, name: str) -> Any:
        """The uploaded library ``name`` as a module (what TVM's ``RPCSession.load_module`` calls)."""
        return tvm_runtime().load_module(str(self.path(name)))


@functools.cache
def _load_extra_library() -> None:
    path = find_library().with_name(EXTRA_LIBRARY)
    if path.is_file():
        ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def register(board: Board) -> None:
    """Puts the functions of ``board`` into this process's table of global functions."""
    tvm_ffi = tvm_runtime()
    for name in CALLABLE:
        method = getattr(board, name)
        tvm_ffi.register_global_func(PREFIX + name, _answering(method), override=True)
    tvm_ffi.register_global_func("tvm.rpc.server.workpath", board.work_path, override=True)
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
