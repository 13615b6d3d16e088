"""A quantized model on disk: a folder (contract 2 of the design).

``model.safetensors`` holds the integers, ``quantization.json`` everything else, and ``tokenizer.json`` lies beside
them. Integers of fewer than 8 bits are packed at their true size (:mod:`intbert.compiler.packing`).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import QuantizedModelError
from .model import TOKENIZER_FILE, FloatOperators, Quantization, QuantizedModel, WeightTensor, architecture_from_json
from .packing import Packing

SCHEMA_VERSION = 2

MODEL_FILE = "model.safetensors"
DESCRIPTION_FILE = "quantization.json"


def describe(model: QuantizedModel) -> dict[str, Any]:
    """The JSON document of ``quantization.json``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "scheme": model.scheme,
        "architecture": asdict(model.architecture),
        "activations": {name: asdict(value) for name, value in sorted(model.activations.items())},
        "packed_weights": {
            name: {**asdict(weight.packing), "shape": list(weight.values.shape)}
            for name, weight in sorted(model.weights.items())
            if weight.packing is not None
        },
        "float_operators": None if model.float_operators is None else _float_operators(model.float_operators),
        "provenance": model.provenance,
    }


def _float_operators(operators: FloatOperators) -> dict[str, Any]:
    return {"norm_epsilon": operators.norm_epsilon, "dynamic": sorted(operators.dynamic)}


def save(model: QuantizedModel, folder: Path | str) -> None:
    """Writes ``model`` into the existing, empty ``folder`` (the caller makes it appear atomically)."""
    import shutil

    from safetensors.numpy import save_file

    folder = Path(folder)
    tensors: dict[str, NDArray[Any]] = {}
    for name, weight in model.weights.items():
        packing = weight.packing
        tensors[name] = np.ascontiguousarray(weight.values if packing is None else packing.pack(weight.values.ravel()))
        tensors[f"{name}.scale"] = np.array(weight.scale, order="C")  # ascontiguousarray makes a scalar 1-d
    save_file(tensors, folder / MODEL_FILE)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(describe(model), indent=2) + "\n", encoding="utf-8")
    if model.tokenizer is not None:
        shutil.copyfile(model.tokenizer / TOKENIZER_FILE, folder / TOKENIZER_FILE)


def _weights(tensors: dict[str, NDArray[Any]], packed: dict[str, Any]) -> dict[str, WeightTensor]:
    weights = {}
    for name, values in tensors.items():
        if name.endswith(".scale"):
            continue
        packing, scale = None, tensors[f"{name}.scale"]
        if name in packed:
            shape = packed[name]["shape"]
            packing = Packing(packed[name]["bits"], packed[name]["mid_rise"])
            values = packing.unpack(values, math.prod(shape)).reshape(shape)
        weights[name] = WeightTensor(values, scale, packing)
    return weights


def load(folder: Path | str) -> QuantizedModel:
    """Reads a quantized model; raises QuantizedModelError that says which file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    try:
        document = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / MODEL_FILE)
        if document["schema_version"] != SCHEMA_VERSION:
            raise QuantizedModelError(
                f"{folder}: schema version {document['schema_version']}, this intbert reads {SCHEMA_VERSION}; "
                "quantize again"
            )
        operators = document["float_operators"]
        return QuantizedModel(
            architecture=architecture_from_json(document["architecture"]),
            scheme=document["scheme"],
            weights=_weights(tensors, document["packed_weights"]),
            activations={name: Quantization(**value) for name, value in document["activations"].items()},
            provenance=document["provenance"],
            float_operators=None
            if operators is None
            else FloatOperators(operators["norm_epsilon"], frozenset(operators["dynamic"])),
            tokenizer=folder if (folder / TOKENIZER_FILE).exists() else None,
        )
    except FileNotFoundError as error:
        raise QuantizedModelError(
            f"{folder} is not a quantized model: {Path(error.filename).name} is missing; "
            "write one with `intbert quantize`"
        ) from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise QuantizedModelError(f"{folder}: damaged quantized model ({error}); quantize it again") from error
