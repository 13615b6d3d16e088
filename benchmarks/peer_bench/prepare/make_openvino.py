"""Writes OpenVINO's two models: ``make_openvino CHECKPOINT POOLING SENTENCES OUTPUT``."""

import sys
from pathlib import Path

import nncf  # pyright: ignore[reportMissingImports]
import numpy as np
import openvino as ov  # pyright: ignore[reportMissingImports]

from .float_model import INPUT_NAMES, example_inputs, load_encoder
from .sentences import sentence_ids

CALIBRATION_SENTENCES = 128


def main() -> None:
    checkpoint, pooling, sentences, output = sys.argv[1:]
    encoder = load_encoder(Path(checkpoint), pooling == "True", attention="sdpa")
    model = ov.convert_model(encoder, example_input=example_inputs())
    model.reshape({name: [-1, -1] for name in INPUT_NAMES})
    # By default the weights would be stored as float16.
    ov.save_model(model, Path(output) / "openvino.xml", compress_to_fp16=False)

    calibration = [
        dict(zip(INPUT_NAMES, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True))
        for ids in sentence_ids(Path(checkpoint), Path(sentences))[:CALIBRATION_SENTENCES]
    ]
    quantized = nncf.quantize(
        model, nncf.Dataset(calibration), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(calibration)
    )
    ov.save_model(quantized, Path(output) / "openvino-int8.xml", compress_to_fp16=False)


if __name__ == "__main__":
    main()
