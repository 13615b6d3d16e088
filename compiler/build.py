"""QuantizedModel -> artifact: lowering, bounds, Relax, LLVM, linking, manifest."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import QuantizedModelError
from ..schedules.intrinsics import amx
from ..targets.cuda_compilers import compiler_for
from ..targets.elf import data_object
from ..targets.target import Target
from ..targets.toolchain import linker
from ..targets.versions import check_versions, installed_versions
from . import bounds
from .artifact import (
    LIBRARY_FILE,
    WEIGHTS_SYMBOL,
    ArtifactTarget,
    Bucket,
    Manifest,
    Output,
    StrategyRecord,
    WeightRecord,
    write_manifest,
)
from .cuda.capture import build_pipeline
from .cuda.device_code import DeviceCode, compile_for_gpu
from .cuda.imports import cuda_source, source_only
from .graph import IntegerGraph
from .kernels import Tuned
from .lowering import lower
from .model import TOKENIZER_FILE, QuantizedModel
from .relax import Choice, LoweredModule, WeightTable, lower_to_relax
from .staging import staged_folder

DEFAULT_LENGTHS = (32, 64, 128, 256)
WEIGHT_ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector register."""

Progress = Callable[[str], None]


def compile_model(
    model: QuantizedModel,
    target: Target,
    *,
    lengths: Sequence[int] | None = None,
    batches: Sequence[int] = (1,),
    output: Path,
    force: bool = False,
    tuned: Tuned | None = None,
    progress: Progress = lambda _: None,
) -> Path:
    """Compiles ``model`` for ``target`` into the artifact folder ``output``; returns it.

    One function is compiled for every length and batch; without ``lengths``, 32, 64, 128 and 256 as far as the
    model has positions. Kernels that ``tuned`` knows are scheduled as it says, the others by default.

    Raises BoundsError when an operator cannot be proven free of overflow, QuantizedModelError for impossible lengths,
    ToolchainError when TVM is not the pinned one, no linker is found, or no CUDA compiler that knows the target's GPU,
    OutputError when ``output`` exists (without ``force``) or cannot be written, and what ``tuned`` raises.
    """
    check_versions()
    if target.cuda is not None:
        compiler_for(target.cuda)  # its absence need not wait for the rest
    with staged_folder(output, force) as folder:
        buckets = choose_buckets(model, lengths, batches)
        progress("integer operators and their bounds")
        graph = lower(model)
        proven = bounds.prove(graph, max(bucket.length for bucket in buckets))
        lowered = lower_to_relax(
            graph, buckets, target.kernel_features, tuned, lambda name: progress(f"kernels of {name}"), target.cuda
        )
        progress("LLVM" if target.cuda is None else "LLVM and CUDA")
        executable = compile_module(lowered.module, target)
        device = None if target.cuda is None else compile_for_gpu(executable.mod, lowered.module, target.cuda)
        records = _write_library(executable, device, lowered.weights, target, folder / LIBRARY_FILE)
        if model.tokenizer is not None:
            shutil.copyfile(model.tokenizer / TOKENIZER_FILE, folder / TOKENIZER_FILE)
        write_manifest(_manifest(model, graph, target, buckets, lowered, records, proven, device), folder)
    return output


def choose_buckets(model: QuantizedModel, lengths: Sequence[int] | None, batches: Sequence[int]) -> tuple[Bucket, ...]:
    """The buckets to compile; QuantizedModelError for a length beyond the model's positions."""
    positions = model.architecture.positions
    if lengths is None:
        lengths = [length for length in DEFAULT_LENGTHS if length <= positions] or [positions]
    if too_long := [length for length in lengths if length > positions]:
        raise QuantizedModelError(
            f"length {too_long[0]} exceeds the model's {positions} positions; use shorter --lengths"
        )
    return tuple(sorted({Bucket(length, batch) for length in lengths for batch in batches}))


def kernel_source(
    model: QuantizedModel, target: Target, *, lengths: Sequence[int] | None = None, batches: Sequence[int] = (1,)
) -> str:
    """The CUDA C++ of all kernels that :func:`compile_model` makes of the same arguments: for tests and curiosity.

    ``target`` must have a GPU. Raises as :func:`compile_model`, but needs no CUDA compiler.
    """
    buckets = choose_buckets(model, lengths, batches)
    lowered = lower_to_relax(lower(model), buckets, target.kernel_features, gpu=target.cuda)
    return cuda_source(compile_module(lowered.module, target).mod)


def compile_module(module: Any, target: Target) -> Any:
    """TVM's executable of a scheduled Relax module."""
    import tvm

    from ..schedules.intrinsics.lowering import lowering_for

    with lowering_for(target.kernel_features), source_only():
        # TVM's own pipeline for GPUs would schedule anew what is scheduled already.
        pipeline = "default" if target.cuda is None else build_pipeline()
        return tvm.compile(module, target=target.tvm(), relax_pipeline=pipeline)


def _write_library(
    executable: Any, device: DeviceCode | None, table: WeightTable, target: Target, path: Path
) -> tuple[WeightRecord, ...]:
    """Writes the shared library with its weights; returns where each of them lies."""
    blob, records = lay_out(table)
    weights = path.with_name("weights.o")
    weights.write_bytes(data_object(blob, WEIGHTS_SYMBOL, target.arch))
    try:
        pack = {} if device is None else {"fpack_imports": device.packer(target.arch)}
        executable.export_library(str(path), fcompile=linker(target).fcompile, addons=[str(weights)], **pack)
    finally:
        weights.unlink(missing_ok=True)
    return records


def lay_out(weights: WeightTable) -> tuple[bytes, tuple[WeightRecord, ...]]:
    """All weights as one blob, each at a multiple of 64 bytes."""
    blob = bytearray()
    records = []
    for name, array in zip(weights.names, weights.arrays, strict=True):
        blob.extend(b"\0" * (-len(blob) % WEIGHT_ALIGNMENT))
        records.append(WeightRecord(name, str(array.dtype), array.shape, len(blob)))
        blob.extend(_little_endian(array).tobytes())
    return bytes(blob), tuple(records)


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _manifest(
    model: QuantizedModel,
    graph: IntegerGraph,
    target: Target,
    buckets: tuple[Bucket, ...],
    lowered: LoweredModule,
    records: tuple[WeightRecord, ...],
    proven: dict[str, Any],
    device: DeviceCode | None,
) -> Manifest:
    head = model.architecture.head
    versions = installed_versions()
    return Manifest(
        target=ArtifactTarget(target.name, target.arch, target.triple, _needed_features(target, lowered.choices)),
        scheme=model.scheme,
        architecture=model.architecture,
        buckets=buckets,
        weights=records,
        output=Output(head.kind, lowered.output_dtype, graph.output_scale, head.normalize),
        tvm_version=str(versions["apache-tvm"]),
        ffi_version=str(versions["apache-tvm-ffi"]),
        strategies=_strategy_records(lowered.choices),
        tuning_records=tuple(sorted({c.tuning_record for c in lowered.choices if c.tuning_record is not None})),
        bounds=proven,
        weight_bits=graph.weight_bits(),
        provenance=model.provenance,
        cuda=None if device is None else device.record,
    )


def _needed_features(target: Target, choices: Sequence[Choice]) -> tuple[str, ...]:
    """What the library may execute: LLVM uses any feature of the target, but tiles only where a strategy does."""
    unused = set() if any(choice.strategy == amx.STRATEGY for choice in choices) else {"amx_int8"}
    return tuple(sorted(target.features - unused))


def _strategy_records(choices: Sequence[Choice]) -> tuple[StrategyRecord, ...]:
    return tuple(
        StrategyRecord(
            f"{choice.bucket.function}/{choice.operator}",
            choice.strategy,
            choice.rejected,
            choice.tuning_record,
            choice.cost.macs,
            choice.cost.bytes,
            choice.function,
            choice.cost.activation_bits,
        )
        for choice in choices
    )
