"""Tiny random models, exported to ONNX and quantized by ONNX Runtime, each once in a test run."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from ..checkpoints import VOCABULARY, make_model, save_tokenizer

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LINEARS = ["MatMul", "Gemm", "Gather"]
FLOAT_OUTPUTS = {"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]}


def tokens(lengths: tuple[int, ...], family: str, seed: int) -> dict[str, NDArray[np.int64]]:
    """Random inputs, padded on the right."""
    random = np.random.default_rng(seed)
    length = max(lengths)
    mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.int64)
    pad = 1 if family == "Roberta" else 0
    found = {"input_ids": np.where(mask == 1, random.integers(2, VOCABULARY, mask.shape), pad), "attention_mask": mask}
    if family == "Bert":
        found["token_type_ids"] = random.integers(0, 2, mask.shape) * mask
    return found


class Named(torch.nn.Module):
    """A model called with its inputs by name, whatever their order in its own signature; returns a tuple."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arrays: torch.Tensor) -> Any:
        return self.model(**dict(zip(INPUTS, arrays, strict=False)), return_dict=False)


def export(model: Any, family: str, path: Path, opset: int) -> Path:
    """The float graph, with dynamic batch and length."""
    inputs = {name: torch.from_numpy(array) for name, array in tokens((7, 5), family, 0).items()}
    axes = {name: {0: "batch", 1: "length"} for name in inputs}
    with warnings.catch_warnings():
        # The exporter based on tracing is deprecated, and says of shapes that are made constant that they are.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings(
            "ignore", "Converting a tensor to a Python|torch.tensor results are registered", Warning
        )
        warnings.filterwarnings("ignore", "Exporting aten::index operator of advanced indexing", UserWarning)
        torch.onnx.export(
            Named(model),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            dynamic_axes=axes,
            dynamo=False,
            opset_version=opset,
        )
    return path


class Calibration(CalibrationDataReader):
    """A few batches; without padding where all lengths are the same."""

    def __init__(self, family: str, lengths: tuple[int, ...] = (9, 9)) -> None:
        self._batches: Iterator[Any] = iter([tokens(lengths, family, seed) for seed in range(4)])

    def get_next(self) -> Any:
        return next(self._batches, None)


@dataclass
class Graphs:
    """Makes and keeps the folders of quantized graphs."""

    root: Path
    made: dict[str, Path] = field(default_factory=dict)

    def exported(self, family: str, head: str, opset: int = 17, **changes: Any) -> Path:
        """The folder of the float graph: model.onnx, config.json, tokenizer.json."""
        key = "-".join([family, head, str(opset), *(f"{name}={value}" for name, value in changes.items())])
        if key not in self.made:
            folder = self.root / key
            folder.mkdir()
            model = make_model(family, head, **changes)
            model.config.architectures = [family + head]
            model.config.save_pretrained(folder)
            save_tokenizer(folder, model.config.pad_token_id or 0)
            export(model, family, folder / "model.onnx", opset)
            self.made[key] = folder
        return self.made[key]

    def _quantized(self, source: Path, kind: str) -> tuple[Path, bool]:
        folder = self.root / f"{source.name}-{kind}"
        is_new = not folder.exists()
        if is_new:
            shutil.copytree(source, folder)
        return folder, is_new

    def static(
        self, source: Path, family: str, kind: str = "static", lengths: tuple[int, ...] = (9, 9), **options: Any
    ) -> Path:
        """Statically quantized (QDQ) by ONNX Runtime, calibrated with sentences of these ``lengths``."""
        folder, is_new = self._quantized(source, kind)
        if is_new:
            settings = {"op_types_to_quantize": LINEARS, "extra_options": FLOAT_OUTPUTS, **options}
            settings.setdefault("quant_format", QuantFormat.QDQ)
            quantize_static(source / "model.onnx", folder / "model.onnx", Calibration(family, lengths), **settings)
        return folder

    def dynamic(self, source: Path, kind: str = "dynamic", **options: Any) -> Path:
        """Dynamically quantized by ONNX Runtime; to 7 bits where it cannot multiply 8 of them."""
        folder, is_new = self._quantized(source, kind)
        if is_new:
            settings = {"reduce_range": products_saturate(), **options}
            quantize_dynamic(source / "model.onnx", folder / "model.onnx", **settings)
        return folder

    def classifier(self) -> Path:
        """A statically quantized BERT with a classification head."""
        return self.static(self.exported("Bert", "ForSequenceClassification"), "Bert")


@cache
def products_saturate() -> bool:
    """Whether ONNX Runtime's sums of two u8 times s8 products saturate at 16 bits on this CPU (AVX2 without VNNI).

    Its documentation recommends a reduced range there; with the full one its outputs are not what the graph says.
    """
    kinds = {"a": onnx.TensorProto.UINT8, "b": onnx.TensorProto.INT8}
    values = [onnx.helper.make_tensor_value_info(name, kind, [64, 64]) for name, kind in kinds.items()]
    sums = onnx.helper.make_tensor_value_info("sums", onnx.TensorProto.INT32, [64, 64])
    node = onnx.helper.make_node("MatMulInteger", ["a", "b"], ["sums"])
    weight = onnx.numpy_helper.from_array(np.full((64, 64), 127, np.int8), "b")
    graph = onnx.helper.make_graph([node], "products", values[:1], [sums], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    runtime = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = runtime.run(None, {"a": np.full((64, 64), 255, np.uint8)})
    return bool((found != 64 * 255 * 127).any())


def session(folder: Path) -> ort.InferenceSession:
    """ONNX Runtime's own, with every node as it is written."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])


def load(folder: Path) -> onnx.ModelProto:
    return onnx.load(str(folder / "model.onnx"))


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The initializers."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
