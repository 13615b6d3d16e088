"""A graph that NNCF quantized, with the factors of SmoothQuant and attention quantized too."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.runtime import load as load_artifact
from intbert.quantization import import_quantized
from intbert.targets import get_target

from .graphs import INPUTS, Graphs, constants, load, session, tokens

FIXTURE = Path(__file__).with_name("nncf_bert.onnx")


@pytest.fixture
def folder(graphs: Graphs, tmp_path: Path) -> Path:
    """The fixture beside the configuration of the model that it was made from."""
    source = graphs.exported("Bert", "ForSequenceClassification")
    shutil.copytree(source, tmp_path / "nncf")
    shutil.copyfile(FIXTURE, tmp_path / "nncf" / "model.onnx")
    return tmp_path / "nncf"


def test_it_agrees_with_onnx_runtime(folder: Path) -> None:
    model = import_quantized(folder)
    for seed in range(3):
        inputs = tokens((9, 4, 1), "Bert", seed)
        (expected,) = session(folder).run(None, inputs)
        found = oracle.run(model, *(inputs[name] for name in INPUTS)) * oracle.output_scale(model)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_its_factors_integers_and_scales_are_the_graphs_own(folder: Path) -> None:
    model, arrays = import_quantized(folder), constants(load(folder)).values()
    factors = [tensor.values for name, tensor in model.weights.items() if name.endswith(".factors")]
    assert len(factors) == 2 * 4 + 1 + 1  # what the linears of two layers read, of the pooler and of the classifier
    of_graph = {array.tobytes() for array in arrays} | {array.T.tobytes() for array in arrays if array.ndim == 2}
    assert all(array.tobytes() in of_graph for array in factors)
    for name, tensor in model.weights.items():
        if tensor.values.dtype == np.int8:
            assert tensor.values.tobytes() in of_graph, name
            assert tensor.scale.astype(np.float32).tobytes() in of_graph, name
    scales = {
        float(array) for array in constants(load(folder)).values() if array.size == 1 and array.dtype == np.float32
    }
    exact = [q.scale for name, q in model.activations.items() if not name.endswith((".query", ".key"))]
    assert set(exact) <= scales


def test_the_artifact_returns_the_oracles_bytes(folder: Path, tmp_path: Path) -> None:
    model = import_quantized(folder)
    artifact = load_artifact(compile_model(model, get_target("host"), lengths=[6], output=tmp_path / "artifact"))
    inputs = tokens((6, 3), "Bert", 0)
    arrays = [inputs[name].astype(np.int32) for name in INPUTS]
    assert artifact.run(*arrays).tobytes() == oracle.run(model, *arrays).astype(np.float32).tobytes()
