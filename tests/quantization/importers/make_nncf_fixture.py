"""Makes nncf_bert.onnx: a tiny BERT classifier, quantized by NNCF as it does by default for transformers.

NNCF (3.4) and OpenVINO need an environment of their own, so the file is kept. Run with that environment's Python, from
the repository's root, on a float export of ``make_model("Bert", "ForSequenceClassification")`` (see graphs.py):

    python tests/quantization/importers/make_nncf_fixture.py model.onnx tests/quantization/importers/nncf_bert.onnx
"""

from __future__ import annotations

import sys

import nncf  # pyright: ignore[reportMissingImports]
import numpy as np
import onnx


def inputs(seed: int) -> dict[str, np.ndarray]:
    """Two sentences of nine random tokens."""
    random = np.random.default_rng(seed)
    return {
        "input_ids": random.integers(2, 40, (2, 9)),
        "attention_mask": np.ones((2, 9), np.int64),
        "token_type_ids": random.integers(0, 2, (2, 9)),
    }


def main(source: str, output: str) -> None:
    """Quantizes ``source``; writes ``output``."""
    dataset = nncf.Dataset([inputs(seed) for seed in range(4)])
    model = nncf.quantize(onnx.load(source), dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=4)
    shorten(model.graph)
    onnx.save(model, output)


def shorten(graph: onnx.GraphProto) -> None:
    """Short names for all but inputs and outputs: most of the file are names, and the importer goes by none."""
    del graph.value_info[:]
    names = {value.name: value.name for value in [*graph.input, *graph.output]}
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"c{len(names)}")
    for number, node in enumerate(graph.node):
        node.name = f"n{number}"
        del node.metadata_props[:]
        for field in (node.input, node.output):
            field[:] = [name and names.setdefault(name, f"v{len(names)}") for name in field]


if __name__ == "__main__":
    main(*sys.argv[1:])
