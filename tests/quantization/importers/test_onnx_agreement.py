"""What is imported computes what ONNX Runtime computes, from the very same integers, scales and zero points."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.runtime import load as load_artifact
from intbert.quantization import import_quantized
from intbert.targets import get_target
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType

from .graphs import FLOAT_OUTPUTS, INPUTS, Graphs, constants, load, session, tokens

TOLERANCE = 1e-5
"""Float sums run in another order; no logit here exceeds a few units."""
MODELS = [
    ("Bert", "Model"),
    ("Bert", "ForSequenceClassification"),
    ("Bert", "ForTokenClassification"),
    ("Roberta", "ForSequenceClassification"),
    ("Roberta", "ForMaskedLM"),
    ("DistilBert", "ForSequenceClassification"),
    ("DistilBert", "ForQuestionAnswering"),
]
IDS = [family + head for family, head in MODELS]


def runtime_output(folder: Path, inputs: dict[str, NDArray[np.int64]], head: HeadKind) -> NDArray[np.float32]:
    outputs = session(folder).run(None, inputs)
    if head is HeadKind.QUESTION_ANSWERING:
        return np.stack(outputs, axis=-1)
    return np.asarray(outputs[0])


def assert_agrees(folder: Path, family: str, model: QuantizedModel, batches: tuple[tuple[int, ...], ...]) -> None:
    head = model.architecture.head.kind
    for seed, lengths in enumerate(batches):
        inputs = tokens(lengths, family, 100 + seed)
        expected = runtime_output(folder, inputs, head)
        found = oracle.run(model, *(inputs[name] for name in INPUTS if name in inputs)) * oracle.output_scale(model)
        kept = inputs["attention_mask"] == 1 if head.per_token else slice(None)
        np.testing.assert_allclose(found[kept], expected[kept], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("family", "head"), MODELS, ids=IDS)
def test_static(graphs: Graphs, family: str, head: str) -> None:
    folder = graphs.static(graphs.exported(family, head), family)
    model = import_quantized(folder)
    assert model.scheme == "onnx-qdq"
    assert_agrees(folder, family, model, ((9, 4, 1), (1,), (20,)))


@pytest.mark.parametrize(("family", "head"), MODELS, ids=IDS)
def test_dynamic(graphs: Graphs, family: str, head: str) -> None:
    """ONNX takes one range of a whole batch with its padding; a sentence alone has the same one in both."""
    folder = graphs.dynamic(graphs.exported(family, head))
    model = import_quantized(folder)
    assert model.scheme == "onnx-dynamic"
    assert model.float_operators is not None
    assert "embeddings.output" in model.float_operators.dynamic
    assert_agrees(folder, family, model, ((9,), (1,), (20,)))


STATIC = {
    "per channel": {"per_channel": True},
    "uint8 activations": {"activation_type": QuantType.QUInt8},
    "symmetric activations": {"extra_options": {**FLOAT_OUTPUTS, "ActivationSymmetric": True}},
    "float tables": {"op_types_to_quantize": ["MatMul", "Gemm"]},
    "reduced range": {"reduce_range": True, "per_channel": True},
    "uint8 weights": {"weight_type": QuantType.QUInt8, "reduce_range": True, "activation_type": QuantType.QUInt8},
}


@pytest.mark.parametrize("kind", STATIC)
def test_static_settings(graphs: Graphs, kind: str) -> None:
    folder = graphs.static(graphs.exported("Bert", "ForSequenceClassification"), "Bert", kind, **STATIC[kind])
    assert_agrees(folder, "Bert", import_quantized(folder), ((9, 4, 1),))


DYNAMIC = {
    "per channel": {"per_channel": True},
    "uint8 weights": {"weight_type": QuantType.QUInt8, "reduce_range": True},
    "float tables": {"op_types_to_quantize": ["MatMul"]},
}


@pytest.mark.parametrize("kind", DYNAMIC)
def test_dynamic_settings(graphs: Graphs, kind: str) -> None:
    source = graphs.exported("Roberta", "ForSequenceClassification")
    folder = graphs.dynamic(source, f"dynamic {kind}", **DYNAMIC[kind])
    assert_agrees(folder, "Roberta", import_quantized(folder), ((9,), (3,)))


EXPORTS: dict[str, dict[str, Any]] = {
    "decomposed layer norm": {"opset": 14},
    "fused gelu": {"opset": 20},
    "eager attention": {"attn_implementation": "eager"},
    "relu": {"hidden_act": "relu"},
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_exports(graphs: Graphs, kind: str) -> None:
    folder = graphs.static(graphs.exported("Bert", "ForSequenceClassification", **EXPORTS[kind]), "Bert")
    assert_agrees(folder, "Bert", import_quantized(folder), ((9, 4, 1),))


def test_every_integer_and_scale_is_the_graphs_own(graphs: Graphs) -> None:
    folder = graphs.static(
        graphs.exported("Bert", "ForSequenceClassification"), "Bert", "per channel", **STATIC["per channel"]
    )
    model, arrays = import_quantized(folder), constants(load(folder))
    weights = {name: array for name, array in arrays.items() if name.endswith("_quantized") and array.ndim == 2}
    found = {
        (tensor.values.tobytes(), tensor.scale.astype(np.float32).tobytes())
        for name, tensor in model.weights.items()
        if tensor.values.ndim == 2
    }
    expected = set()
    for name, array in weights.items():
        # The exporter transposes the weights that MatMul reads; those of Gemm, and tables, it leaves.
        rows = array.T if name.startswith("onnx::MatMul") else array
        expected.add((np.ascontiguousarray(rows).tobytes(), arrays[name.replace("_quantized", "_scale")].tobytes()))
    assert found == expected


def test_every_scale_and_zero_point_of_activations_is_the_graphs_own(graphs: Graphs) -> None:
    folder = graphs.classifier()
    model, graph = import_quantized(folder), load(folder)
    arrays = constants(graph)
    of_graph = {
        (float(arrays[node.input[1]]), int(arrays[node.input[2]]))
        for node in graph.graph.node
        if node.op_type == "QuantizeLinear" and "embeddings.weight" not in node.input[1]
    }
    of_model = {name: (found.scale, found.zero_point) for name, found in model.activations.items()}
    # transformers scales queries and keys by the fourth root of the head's channels before they are quantized.
    scaled = {name: of_model.pop(name) for name in list(of_model) if name.endswith((".query", ".key"))}
    assert set(of_model.values()) <= of_graph
    rest = of_graph - set(of_model.values())
    assert len(rest) == len(scaled) == 4
    found = sorted((scale * 0.25**0.25, zero_point) for scale, zero_point in scaled.values())
    np.testing.assert_allclose(found, sorted(rest), rtol=1e-7)
    assert all(not quantization.narrow_range and quantization.bits == 8 for quantization in model.activations.values())


def test_unsigned_activations_are_lowered_by_128(graphs: Graphs) -> None:
    folder = graphs.static(
        graphs.exported("Bert", "ForSequenceClassification"), "Bert", "uint8 activations", **STATIC["uint8 activations"]
    )
    probabilities = import_quantized(folder).activations["layers.0.probabilities"]
    assert (probabilities.zero_point, probabilities.low, probabilities.limit) == (-128, -128, 127)


def test_the_artifact_returns_the_oracles_bytes(graphs: Graphs, tmp_path: Path) -> None:
    """With residuals that read rounded states, and float tables."""
    folder = graphs.static(
        graphs.exported("Bert", "ForSequenceClassification"), "Bert", "float tables", **STATIC["float tables"]
    )
    model = import_quantized(folder)
    assert model.weights["embeddings.word.weight"].values.dtype == np.float32
    assert "layers.0.attention_stream" in model.activations
    artifact = load_artifact(compile_model(model, get_target("host"), lengths=[6], output=tmp_path / "artifact"))
    inputs = tokens((6, 3), "Bert", 0)
    arrays = [inputs[name].astype(np.int32) for name in INPUTS]
    assert artifact.run(*arrays).tobytes() == oracle.run(model, *arrays).astype(np.float32).tobytes()


def test_a_mask_that_replaces_scores(graphs: Graphs, tmp_path: Path) -> None:
    """As older exports of DistilBERT: masked_fill in place of an addition."""
    folder = Path(shutil.copytree(graphs.classifier(), tmp_path / "filled"))
    plain, graph = import_quantized(folder), load(folder)
    made_by = {output: node for node in graph.graph.node for output in node.output}
    constant = numpy_helper.from_array(np.array(np.finfo(np.float32).min), "least")
    zero = numpy_helper.from_array(np.array(0, np.float32), "nothing")
    graph.graph.initializer.extend([constant, zero])
    for number, softmax in enumerate([node for node in graph.graph.node if node.op_type == "Softmax"]):
        add = made_by[softmax.input[0]]
        scores, mask = add.input
        if made_by[scores].op_type != "MatMul":
            scores, mask = mask, scores
        index = list(graph.graph.node).index(add)
        graph.graph.node.insert(index, helper.make_node("Equal", [mask, "nothing"], [f"kept{number}"]))
        add.CopyFrom(helper.make_node("Where", [f"kept{number}", scores, "least"], list(add.output)))
    onnx.save(graph, str(folder / "model.onnx"))
    filled = import_quantized(folder)
    assert filled.activations == plain.activations
    for name, tensor in plain.weights.items():
        assert tensor.values.tobytes() == filled.weights[name].values.tobytes(), name
    assert_agrees(folder, "Bert", filled, ((9, 4, 1),))
