"""What is in an artifact or a quantized model, as data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .artifact import (
    LIBRARY_FILE,
    MANIFEST_FILE,
    Manifest,
    artifact_bytes,
    opened,
    read_manifest,
    verify_files,
)
from .model import Architecture, QuantizedModel, WeightTensor
from .model_files import DESCRIPTION_FILE, load
from .packing import stored_bits


def inspect(path: Path, bounds: bool = False) -> dict[str, Any]:
    """A JSON document about the artifact or quantized model at ``path``.

    It has ``kind``, ``scheme``, ``architecture``, ``sizes`` (rows of part, tensors and bytes, by dtype),
    ``weight_bits`` (by layer) and, of an artifact, ``target``, ``buckets``, ``output``, ``strategies``,
    ``versions`` and, where a GPU runs it, ``cuda``; of a model, ``activation_bits``. ``bounds`` adds what was proven
    about the integer operators.

    Raises InputError when there is neither, else what reading it raises.
    """
    if (path / DESCRIPTION_FILE).is_file():
        return _plain(_quantized(load(path), bounds))
    if path.is_file() or (path / MANIFEST_FILE).is_file():
        with opened(path) as folder:
            manifest = read_manifest(folder)
            verify_files(manifest, folder)
        return _plain(_artifact(manifest, artifact_bytes(path), bounds))
    raise InputError(f"{path} is neither an artifact nor a quantized model; make one with `intbert compile`")


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with nothing but JSON's types in it."""
    return json.loads(json.dumps(document))


def _artifact(manifest: Manifest, size: int, bounds: bool) -> dict[str, Any]:
    document = manifest.to_document()
    weights = [(w.dtype, math.prod(w.shape) * np.dtype(w.dtype).itemsize) for w in manifest.weights]
    library = manifest.files[LIBRARY_FILE].bytes
    others = [row for row in manifest.files.items() if row[0] != LIBRARY_FILE]
    return {
        "kind": "artifact",
        "scheme": manifest.scheme,
        "architecture": _summary(manifest.architecture),
        "bytes": size,
        "target": document["target"],
        "buckets": document["buckets"],
        "output": document["output"],
        "versions": {"tvm": manifest.tvm_version, "ffi": manifest.ffi_version},
        "tuning_records": document["tuning_records"],
        **({"cuda": document["cuda"]} if manifest.cuda is not None else {}),
        "sizes": [
            *_sizes(weights),
            {"part": "code", "tensors": None, "bytes": library - sum(size for _, size in weights)},
            *({"part": name, "tensors": None, "bytes": record.bytes} for name, record in others),
        ],
        "weight_bits": document["weight_bits"],
        "strategies": document["strategies"],
        **({"bounds": document["bounds"]} if bounds else {}),
    }


def _quantized(model: QuantizedModel, bounds: bool) -> dict[str, Any]:
    return {
        "kind": "quantized model",
        "scheme": model.scheme,
        "architecture": _summary(model.architecture),
        "provenance": model.provenance,
        "sizes": _sizes(_stored(weight) for weight in model.weights.values()),
        "weight_bits": {
            name.removesuffix(".weight"): stored_bits(weight.packing)
            for name, weight in model.weights.items()
            if name.endswith(".weight")
        },
        "activation_bits": {name: value.bits for name, value in model.activations.items()},
        **({"bounds": _proven(model)} if bounds else {}),
    }


def _stored(weight: WeightTensor) -> tuple[str, int]:
    """What the sizes call it, and its bytes on disk."""
    if weight.packing is None:
        return str(weight.values.dtype), weight.values.nbytes
    return f"{weight.packing.bits}-bit", weight.packing.bytes(weight.values.size)


def _proven(model: QuantizedModel) -> dict[str, Any]:
    from .bounds import prove
    from .lowering import lower

    return prove(lower(model), model.architecture.positions)


def _summary(architecture: Architecture) -> dict[str, Any]:
    document = asdict(architecture)
    return {**document, "head": architecture.head.kind.value, "labels": list(architecture.head.labels)}


def _sizes(tensors: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    totals: dict[str, list[int]] = {}
    for dtype, size in tensors:
        totals.setdefault(dtype, []).append(size)
    return [
        {"part": f"{dtype} weights", "tensors": len(sizes), "bytes": sum(sizes)}
        for dtype, sizes in sorted(totals.items())
    ]
