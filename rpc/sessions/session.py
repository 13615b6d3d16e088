"""The host's side of a session with a board: upload an artifact, run it there, get its integers back.

Every wait has a limit, and whatever goes wrong is a typed error: :class:`RemoteError` when the board is lost
or its server refuses, otherwise the very error that the board raised (ArtifactError for another CPU's code).
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ...compiler.artifact import LIBRARY_FILE, check_processor, file_sha256, opened, read_manifest
from ...compiler.profile import Profile, ProfileRequest
from ...compiler.runtime.driver import FoundGpu, GpuSize
from ...errors import ArtifactError, CrashError, IntbertError, NoAnswerError, RemoteError
from ..on_board.board import PREFIX
from ..on_board.room import Room
from .protocol import PROCESS_DIED, decode_array, decode_error, encode_array
from .relay import Relay
from .relay_process import EXPIRED

if TYPE_CHECKING:
    from tvm.rpc import RPCSession

    from ...compiler.runtime.text import Text

UPLOAD_CHUNK = 1 << 20
"""Bytes sent in one call: the limit on a call's time then does not depend on the artifact's size."""

_TCP_CLOSE, _TCP_CLOSE_WAIT = 7, 8
"""States of a TCP connection (Linux: include/net/tcp_states.h)."""


@dataclass(frozen=True)
class BoardFeatures:
    """A board's architecture ("aarch64", "x86_64") and the instruction set features of its CPU."""

    arch: str
    features: frozenset[str]


class Session:
    """A connected session; use it as a context manager. Make one with :func:`connect`."""

    def __init__(self, remote: RPCSession, relay: Relay, timeout: float) -> None:
        self.remote = remote
        """TVM's own session, for what it has beyond this class; calls on it belong inside :meth:`limit`."""
        self.address = relay.address
        self.timeout = timeout
        self._relay = relay
        self._functions: dict[str, Any] = {}
        self._uploads = 0
        self._limited = False

    def features(self) -> BoardFeatures:
        """What the board's CPU is."""
        document = json.loads(self._call("reading its features", "features"))
        return BoardFeatures(document["arch"], frozenset(document["features"]))

    def machine(self) -> dict[str, Any]:
        """What the board calls itself (``description``), its ``cpu`` in words, the ``cores`` the session may use, and
        their ``governor``."""
        return json.loads(self._call("asking what it is", "machine"))

    def gpu(self) -> FoundGpu:
        """The board's first GPU; ArtifactError where it has none that its driver offers."""
        document = json.loads(self._call("asking for its GPU", "gpu"))
        return FoundGpu(document["name"], document["sm"], tuple(document["release"]))

    def gpu_size(self) -> GpuSize:
        """Its size; raises as :meth:`gpu`."""
        return GpuSize(**json.loads(self._call("asking for its GPU", "gpu_size")))

    def upload(self, artifact: Path, progress: Callable[[int, int], None] | None = None) -> str:
        """Copies an artifact (a folder or one file) to the board; of its files only those that the board lacks.

        Args:
            artifact: where it lies here.
            progress: called with the bytes sent so far and in all.

        Returns:
            The name by which :meth:`load` finds it; it lasts as long as the session.
        """
        files = {artifact.name: artifact} if artifact.is_file() else _files(artifact)
        digests = {name: file_sha256(path) for name, path in files.items()}
        absent = set(json.loads(self._call("looking for files", "missing", json.dumps(sorted(set(digests.values()))))))
        wanted = {digest: files[name] for name, digest in digests.items() if digest in absent}
        total, sent = sum(path.stat().st_size for path in wanted.values()), 0
        self._require_room(total)
        for digest, path in wanted.items():
            doing = f"uploading {path.name}"
            for offset, data in _chunks(path):
                self._call(doing, "write", digest, offset, data)
                sent += len(data)
                if progress is not None:
                    progress(sent, total)
            self._call(doing, "commit", digest)
        self._uploads += 1
        folder = f"upload-{self._uploads}"
        names = {f"{folder}/{name}": digest for name, digest in digests.items()}
        self._call(f"placing {artifact.name}", "place", json.dumps(names))
        return f"{folder}/{artifact.name}"

    def check(self, artifact: Path) -> None:
        """Raises ArtifactError unless the artifact fits the board's processor and free memory; nothing is sent."""
        with opened(artifact) as folder:
            manifest = read_manifest(folder)
        board = self.features()
        check_processor(manifest.target, board.arch, board.features, self.address)
        memory, needed = self._room().memory, manifest.files[LIBRARY_FILE].bytes
        if memory is not None and needed > memory:
            raise ArtifactError(
                f"{self.address}: the artifact's code and weights take {needed / 1e6:.0f} MB of memory and "
                f"{memory / 1e6:.0f} MB are available; end other programs there, or quantize to fewer bits"
            )

    def _room(self) -> Room:
        return Room(**json.loads(self._call("looking for room", "room")))

    def _require_room(self, size: int) -> None:
        free = self._room().disk
        if size > free:
            raise RemoteError(
                f"{self.address}: {size / 1e6:.0f} MB are to be sent and {free / 1e6:.0f} MB are free; "
                "make room on the board"
            )

    def load(self, name: str, threads: int | None = None) -> RemoteModel:
        """Loads an uploaded artifact; raises ArtifactError when it does not fit the board's CPU."""
        document = json.loads(self._call(f"loading {name}", "load", name, threads or 0))
        return RemoteModel(self, name, **document)

    def put(self, name: str, path: Path) -> None:
        """Copies one small file to the session's folder, as ``name``; the board's store does not keep it."""
        with self.limit(f"sending {path.name}"):
            self.remote.upload(bytearray(path.read_bytes()), name)

    def measure_kernel(self, library: str, arguments: str, request: dict[str, Any]) -> dict[str, Any]:
        """Measures a kernel that was :meth:`put` there and deletes it, see :mod:`..on_board.kernels`.

        Raises CrashError when it ends its process, NoAnswerError when it does not end.
        """
        text = json.dumps(request)
        document = json.loads(self._call("measuring a kernel", "measure_kernel", library, arguments, text))
        self._call("removing a kernel", "remove", library)
        return document

    def conditions(self, processor: str) -> dict[str, Any]:
        """The clock, temperature, throttling and power of ``processor``, one of :data:`..telemetry.PROCESSORS`, now
        (:class:`..telemetry.Conditions`)."""
        return json.loads(self._call("reading its sensors", "conditions", processor))

    def sensors(self, processor: str) -> dict[str, Any]:
        """Which of these the board can tell, and from where (:class:`..telemetry.Inventory`)."""
        return json.loads(self._call("looking for its sensors", "sensor_inventory", processor))

    def close(self) -> None:
        """Ends the session; the board forgets what was uploaded."""
        self._relay.close()

    @contextmanager
    def limit(self, doing: str, seconds: float | None = None) -> Iterator[None]:
        """Bounds the calls inside: after ``seconds`` (the session's timeout) they fail.

        Inside another limit it does nothing: the outer one holds.
        """
        if self._limited:
            yield
            return
        if self._relay.closed:
            raise RemoteError(f"{self.address}: the session is closed; connect again")
        self._limited = True
        try:
            with _bounded(self._relay, doing, seconds or self.timeout):
                yield
        finally:
            self._limited = False

    def _call(self, doing: str, name: str, *arguments: Any, seconds: float | None = None) -> bytes:
        with self.limit(doing, seconds):
            if name not in self._functions:
                self._functions[name] = self.remote.get_function(PREFIX + name)
            answer = self._functions[name](*arguments)
        if isinstance(answer, str):
            raise decode_error(answer, self.address)
        return bytes(answer)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class RemoteModel:
    """A model loaded on the board, which took ``load_ms`` there; ``max_length``: tokens of its largest bucket;
    ``processor``: what runs it, by its name in :data:`..telemetry.PROCESSORS`."""

    session: Session
    name: str
    load_ms: float
    max_length: int
    processor: str

    def run_texts(self, texts: Sequence[Text], *, truncate: bool = False) -> NDArray[Any]:
        """The integers for sentences or pairs of them, as ``Model.run_texts`` gives them; the board tokenizes."""
        doing = f"running {self.name}"
        output = decode_array(self.session._call(doing, "run_texts", self.name, json.dumps(list(texts)), truncate))
        if output is None:
            raise RemoteError(f"{self.session.address}: running {self.name} gave no output")
        return output

    @property
    def where(self) -> str:
        """The board, in words."""
        return self.session.address

    def conditions(self) -> dict[str, Any]:
        """The conditions of what runs it now."""
        return self.session.conditions(self.processor)

    def sensors(self) -> dict[str, Any]:
        """Which of these the board can tell, and from where."""
        return self.session.sensors(self.processor)

    def measure(self, length: int | None, batch: int, count: int, seconds: float) -> dict[str, Any]:
        """Samples of the latency, taken on the board; see :mod:`..on_board.sampling` for the request and the answer."""
        request = {"length": length, "batch": batch, "count": count, "seconds": seconds}
        doing = f"measuring {self.name}"
        limit = self.session.timeout + seconds
        return json.loads(self.session._call(doing, "measure", self.name, json.dumps(request), seconds=limit))

    def profile(self, request: ProfileRequest) -> Profile:
        """How long each operator takes on the board, see :func:`...compiler.runtime.profiling.profile`."""
        doing = f"profiling {self.name}"
        limit = self.session.timeout + request.seconds
        answer = self.session._call(doing, "profile", self.name, json.dumps(asdict(request)), seconds=limit)
        return Profile.from_json(json.loads(answer))

    def run(
        self,
        input_ids: NDArray[Any],
        attention_mask: NDArray[Any] | None = None,
        token_type_ids: NDArray[Any] | None = None,
        *,
        timeout: float | None = None,
    ) -> NDArray[Any]:
        """The integer output, as ``Model.run`` of the runtime gives it; ids, mask and types are [B, T]."""
        arrays = [encode_array(array) for array in (input_ids, attention_mask, token_type_ids)]
        output = decode_array(self.session._call(f"running {self.name}", "run", self.name, *arrays, seconds=timeout))
        if output is None:
            raise RemoteError(f"{self.session.address}: running {self.name} gave no output")
        return output


def connect(host: str, port: int, key: str, *, timeout: float = 30.0, name: str | None = None) -> Session:
    """Connects to a server on ``host``, ``port`` that asks for ``key``.

    Args:
        name: what messages call the board; by default its address.
        timeout: seconds that connecting, and then every call, may take.

    Raises:
        RemoteError: nobody listens there, the key is wrong, or the server does not answer in time.
    """
    from tvm import rpc

    relay = Relay(host, port, timeout, name)
    before = _open_descriptors()
    try:
        with _bounded(relay, "connecting", timeout):
            remote = rpc.connect("127.0.0.1", relay.port, key=key)
    except BaseException:
        relay.close()
        _close_forgotten(before)
        raise
    return Session(remote, relay, timeout)


def _open_descriptors() -> set[int]:
    listed = list(Path("/proc/self/fd").iterdir())
    return {int(entry.name) for entry in listed if entry.is_symlink()}  # not that of the listing, which is closed


def _close_forgotten(before: set[int]) -> None:
    """Closes the socket that TVM forgets when its handshake fails: one of the loopback, new, whose far end is gone."""
    for descriptor in _open_descriptors() - before:
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
            if end.family == socket.AF_INET and end.getsockname()[0] == "127.0.0.1":
                state = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                if state in (_TCP_CLOSE, _TCP_CLOSE_WAIT):
                    os.close(descriptor)


@contextmanager
def _bounded(relay: Relay, doing: str, seconds: float) -> Iterator[None]:
    """Ends the connection after ``seconds``; turns what TVM raises into RemoteError."""
    relay.limit(seconds)
    try:
        yield
    except IntbertError:
        raise
    except Exception as error:  # TVM raises whatever type the far end named
        kind, cause = _cause(error, relay.ended(), seconds)
        raise kind(f"{relay.address}: {doing} failed: {cause}") from error
    finally:
        relay.done()


def _cause(error: Exception, ended: int | None, seconds: float) -> tuple[type[RemoteError], str]:
    """What went wrong, in words, and what to do about it."""
    if ended == EXPIRED:
        words = f"no answer within {seconds:g} s; the board is gone, busy with another session, or too slow"
        return NoAnswerError, words
    words = _essence(error)
    if PROCESS_DIED in words:
        return CrashError, words
    if "cannot find server that matches key" in words:
        return RemoteError, "the server refused the key; read it anew from the server's first line of output"
    if ended is not None:
        return RemoteError, f"the connection was lost ({words}); look at the server's log and connect again"
    return RemoteError, words


def _essence(error: Exception) -> str:
    """The last line of TVM's report that says something: the ones before it are the stack of the far end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _files(artifact: Path) -> dict[str, Path]:
    """The files of an artifact's folder by the names that they get on the board."""
    files = {
        path.relative_to(artifact.parent).as_posix(): path for path in sorted(artifact.rglob("*")) if path.is_file()
    }
    if not files:
        raise ArtifactError(f"{artifact} holds no files to upload; make an artifact with `intbert compile`")
    return files


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """The contents of ``path`` in pieces with their offsets; an empty file is one empty piece."""
    with path.open("rb") as file:
        offset = 0
        while (data := file.read(UPLOAD_CHUNK)) or offset == 0:
            yield offset, data
            offset += len(data)
            if not data:
                return
