"""The artifact: a folder (or one ``.tar`` of it) with ``model.so``, ``manifest.json`` and ``tokenizer.json``.

The manifest says what the library was built from and for, and how to call it. Everything that can be wrong
with an artifact is found here, before a byte of its code is mapped: a missing or altered file, another
processor, a missing instruction set. Only the standard library and NumPy are needed, so a board can read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, QuantizedModelError
from ..targets import features as cpu
from .hashing import file_sha256
from .model import Architecture, HeadKind, architecture_from_json

SCHEMA_VERSION = 1

LIBRARY_FILE = "model.so"
MANIFEST_FILE = "manifest.json"
WEIGHTS_SYMBOL = "intbert_weights"


@dataclass(frozen=True)
class ArtifactTarget:
    """The machine that the library was compiled for; ``features`` are the instruction sets that it uses."""

    name: str
    arch: str
    triple: str
    features: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Bucket:
    """One compiled shape: ``length`` tokens for each of ``batch`` rows."""

    length: int
    batch: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1 or self.length < 1:
            raise ArtifactError(f"bucket of batch {self.batch} and length {self.length}: both must be positive")

    @property
    def function(self) -> str:
        """The name of the library's function for this shape."""
        return f"main_b{self.batch}_t{self.length}"

    @property
    def stepwise_function(self) -> str:
        """The one that launches its kernels one by one, in a library whose :attr:`function` replays a CUDA graph."""
        return f"{self.function}_stepwise"


@dataclass(frozen=True)
class WeightRecord:
    """One C-ordered tensor of the data symbol ``intbert_weights``, ``offset`` bytes from its start."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Output:
    """How to read the integers that the library returns: ``real = integer * scale``.

    ``scale`` is one number, or one for each channel of the last axis. ``normalize``: the real vectors are
    then divided by their Euclidean length.
    """

    kind: HeadKind
    dtype: str
    scale: float | tuple[float, ...]
    normalize: bool = False

    @property
    def per_token(self) -> bool:
        """Whether the output is [batch, length, channels] rather than [batch, channels]."""
        return self.kind.per_token

    def __post_init__(self) -> None:
        if self.normalize and not isinstance(self.scale, float):
            raise ArtifactError("output: only an output with one scale can be normalized")


@dataclass(frozen=True)
class StrategyRecord:
    """The strategy that an operator got, and why the better ones did not apply, as (name, reason).

    ``tuning_record``: the id of the tuning log's record that its schedule is from; None: the default schedule.
    ``macs``: multiply-adds of one call; ``bytes``: of its arguments, each read or written once; ``function``: the
    library's function that it calls; ``activation_bits``: of what weights are multiplied by. None in an artifact that
    was compiled before these were recorded.
    """

    operator: str
    strategy: str
    rejected: tuple[tuple[str, str], ...] = ()
    tuning_record: str | None = None
    macs: int | None = None
    bytes: int | None = None
    function: str | None = None
    activation_bits: int | None = None


@dataclass(frozen=True)
class GpuKernel:
    """A kernel of a GPU, launched in ``blocks`` blocks of ``threads`` threads.

    ``registers`` and ``local_bytes`` (what did not fit in registers): of a thread; ``shared_bytes``: of a block;
    ``occupancy``: the threads that a multiprocessor of the target holds at once, as a part of those it has room for;
    ``multiplier``: what its code multiplies with (a value of :class:`..targets.cuda_rates.Multiplier`). ``blocks`` and
    ``multiplier`` are None in an artifact that was compiled before these were recorded.
    """

    name: str
    registers: int
    local_bytes: int
    shared_bytes: int
    threads: int
    occupancy: float
    blocks: int | None = None
    multiplier: str | None = None


@dataclass(frozen=True)
class CudaRecord:
    """The GPU that the operators were compiled for: ``sm`` is its compute capability, 87 for 8.7.

    ``release``: the CUDA release of ``compiler``; drivers of an older major version do not load its code.
    """

    sm: int
    compiler: str
    release: tuple[int, int]
    kernels: tuple[GpuKernel, ...]


@dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 (hexadecimal) of one file of the artifact."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What an artifact is made of, for and from. ``files`` is filled in by :func:`write_manifest`."""

    target: ArtifactTarget
    scheme: str
    architecture: Architecture
    buckets: tuple[Bucket, ...]
    weights: tuple[WeightRecord, ...]
    output: Output
    tvm_version: str
    ffi_version: str
    strategies: tuple[StrategyRecord, ...] = ()
    bounds: Mapping[str, Any] = field(default_factory=dict)
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    """Bits of each layer's weights as the library stores them."""
    tuning_records: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    cuda: CudaRecord | None = None
    """What runs on a GPU; None: the CPU runs everything."""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not self.buckets:
            raise ArtifactError("a manifest needs at least one bucket; compile with --lengths")
        if len(set(self.buckets)) != len(self.buckets):
            raise ArtifactError("a manifest lists the same bucket twice; compile again")

    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence that some bucket holds."""
        return max(bucket.length for bucket in self.buckets)

    def to_document(self) -> dict[str, Any]:
        """The JSON document of ``manifest.json``."""
        return {name: value for name, value in asdict(self).items() if name != "cuda" or value is not None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Manifest:
        """The inverse of :meth:`to_document`; KeyError, TypeError or ValueError for a malformed document."""
        output = document["output"]
        scale = output["scale"]
        return cls(
            **{
                **document,
                "target": ArtifactTarget(**{**document["target"], "features": tuple(document["target"]["features"])}),
                "architecture": architecture_from_json(document["architecture"]),
                "buckets": tuple(Bucket(**bucket) for bucket in document["buckets"]),
                "weights": tuple(
                    WeightRecord(**{**weight, "shape": tuple(weight["shape"])}) for weight in document["weights"]
                ),
                "output": Output(
                    **{
                        **output,
                        "kind": HeadKind(output["kind"]),
                        "scale": tuple(scale) if isinstance(scale, list) else float(scale),
                    }
                ),
                "strategies": tuple(
                    StrategyRecord(
                        strategy["operator"],
                        strategy["strategy"],
                        tuple((name, reason) for name, reason in strategy["rejected"]),
                        strategy.get("tuning_record"),
                        strategy.get("macs"),
                        strategy.get("bytes"),
                        strategy.get("function"),
                        strategy.get("activation_bits"),
                    )
                    for strategy in document["strategies"]
                ),
                "tuning_records": tuple(document["tuning_records"]),
                "files": {name: FileRecord(**record) for name, record in document["files"].items()},
                "cuda": _cuda_record(document.get("cuda")),
            }
        )


def _cuda_record(document: Mapping[str, Any] | None) -> CudaRecord | None:
    if document is None:
        return None
    major, minor = document["release"]
    kernels = tuple(GpuKernel(**kernel) for kernel in document["kernels"])
    return CudaRecord(document["sm"], document["compiler"], (major, minor), kernels)


def write_manifest(manifest: Manifest, folder: Path) -> Manifest:
    """Writes ``manifest.json``, with hash and size of every other file in ``folder``; returns it."""
    files = {
        path.name: FileRecord(sha256=file_sha256(path), bytes=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_FILE
    }
    written = replace(manifest, files=files)
    (folder / MANIFEST_FILE).write_text(json.dumps(written.to_document(), indent=1) + "\n", encoding="utf-8")
    return written


def read_manifest(folder: Path) -> Manifest:
    """The manifest in ``folder``; ArtifactError when it is missing, damaged or of another schema version."""
    try:
        document = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        version = document["schema_version"]
        if version != SCHEMA_VERSION:
            raise ArtifactError(
                f"{folder}: manifest schema version {version}, this intbert reads {SCHEMA_VERSION}; compile it again"
            )
        return Manifest.from_document(document)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(
            f"{folder} is not an artifact: no {MANIFEST_FILE}; make one with `intbert compile`"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, QuantizedModelError) as error:
        raise ArtifactError(f"{folder}: damaged {MANIFEST_FILE} ({error!r}); compile or copy it again") from error


def verify_files(manifest: Manifest, folder: Path) -> None:
    """Raises ArtifactError unless every file of the manifest is there with its size and SHA-256."""
    if LIBRARY_FILE not in manifest.files:
        raise ArtifactError(f"{folder}: the manifest does not list {LIBRARY_FILE}; compile it again")
    for name, record in manifest.files.items():
        if Path(name).name != name:
            raise ArtifactError(
                f"{folder}: the manifest lists '{name}', which is not a plain file name; compile it again"
            )
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{folder}: {name} is missing; compile or copy the artifact again")
        size = path.stat().st_size
        if size != record.bytes:
            raise ArtifactError(
                f"{path}: {size} bytes, the manifest says {record.bytes}; compile or copy the artifact again"
            )
        if file_sha256(path) != record.sha256:
            raise ArtifactError(f"{path}: its SHA-256 is not the manifest's; compile or copy the artifact again")


def check_machine(manifest: Manifest) -> None:
    """Raises ArtifactError unless this processor can run the artifact; asks Linux for AMX if it uses AMX."""
    target, arch = manifest.target, cpu.host_arch()
    if target.arch == arch and "amx_int8" in target.features and not cpu.enable_amx():
        raise ArtifactError(
            f"the artifact for {target.name} needs AMX, which this machine does not grant; "
            "compile it for another target"
        )
    check_processor(target, arch, cpu.host_features(), "this machine")


def check_processor(target: ArtifactTarget, arch: str, features: frozenset[str], machine: str) -> None:
    """Raises ArtifactError unless a processor with these canonical features can run code for ``target``."""
    if target.arch != arch:
        raise ArtifactError(
            f"the artifact is for {target.arch} ({target.name}), {machine} is {arch}; "
            "compile it for that machine, or run it where it belongs"
        )
    missing = sorted(set(target.features) - features)
    if missing:
        raise ArtifactError(
            f"the artifact is for {target.name}, the processor of {machine} lacks {', '.join(missing)}; "
            "compile it for that machine: there with --target host, elsewhere with the name of its target"
        )


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of the artifact at ``path``: itself, or a ``.tar`` unpacked until the block ends."""
    if path.is_dir():
        yield path
        return
    if not path.exists():
        raise ArtifactError(f"{path} does not exist; make an artifact with `intbert compile`")
    import tarfile
    import tempfile

    with tempfile.TemporaryDirectory(prefix="intbert-") as folder:
        try:
            with tarfile.open(path, "r:") as archive:
                archive.extractall(folder, filter="data")
        except tarfile.TarError as error:
            raise ArtifactError(
                f"{path} is not an artifact ({error}); give a folder or an uncompressed .tar"
            ) from error
        yield Path(folder)


def pack(folder: Path, output: Path) -> None:
    """Packs the artifact in ``folder`` into the uncompressed tar file ``output``, always the same bytes."""
    import tarfile

    def reproducible(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o644
        return member

    with tarfile.open(output, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name, recursive=False, filter=reproducible)


def artifact_bytes(path: Path) -> int:
    """Bytes that the artifact takes on disk."""
    return path.stat().st_size if path.is_file() else sum(entry.stat().st_size for entry in path.iterdir())
