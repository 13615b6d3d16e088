"""Writes ONNX Runtime's four files: ``make_onnx CHECKPOINT POOLING OUTPUT``."""

import sys
from collections import Counter
from pathlib import Path

import onnx  # pyright: ignore[reportMissingImports]
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic  # pyright: ignore[reportMissingImports]
from onnxruntime.transformers import optimizer  # pyright: ignore[reportMissingImports]

from .float_model import INPUT_NAMES, Encoder, example_inputs, load_encoder


def export(encoder: Encoder, path: Path) -> None:
    """Batch and length stay free. The TorchScript exporter writes the pattern that the fusions look for."""
    with torch.inference_mode():
        torch.onnx.export(
            encoder, tuple(example_inputs().values()), str(path), dynamo=False, opset_version=17,
            input_names=list(INPUT_NAMES), output_names=["output"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in INPUT_NAMES},
        )  # fmt: skip


def fuse(encoder: Encoder, exported: Path, fused: Path) -> None:
    """Fuse attention, LayerNorm, GELU and the embedding; fail when a layer's attention was not found."""
    config = encoder.model.config
    model = optimizer.optimize_model(
        str(exported), model_type="bert", opt_level=1,
        num_heads=config.num_attention_heads, hidden_size=config.hidden_size,
    )  # fmt: skip
    operators = Counter(node.op_type for node in model.model.graph.node)
    if operators["Attention"] != config.num_hidden_layers:
        sys.exit(f"{operators['Attention']} of {config.num_hidden_layers} attention layers were fused: {operators}")
    model.save_model_to_file(str(fused))


def quantize(path: Path, quantized: Path) -> None:
    """Dynamic int8, weights per channel."""
    quantize_dynamic(
        path, quantized, per_channel=True, weight_type=QuantType.QInt8,
        # Shape inference does not know the fused operators; all their outputs are float.
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )  # fmt: skip


def main() -> None:
    checkpoint, pooling, output = sys.argv[1:]
    folder = Path(output)
    encoder = load_encoder(Path(checkpoint), pooling == "True", attention="eager")
    export(encoder, folder / "exported.onnx")
    fuse(encoder, folder / "exported.onnx", folder / "fused.onnx")
    for name in ("exported", "fused"):
        quantize(folder / f"{name}.onnx", folder / f"{name}-int8.onnx")


if __name__ == "__main__":
    main()
