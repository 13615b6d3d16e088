"""What quantize_static makes where it is told nothing: nearly every float value between two linears is rounded.

ONNX Runtime sums a linear's products in float32, in an order of its own. Rarely a value then lies on the other side of
a rounding boundary, and the logits of that sentence are a step or two away; elsewhere they are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intbert.compiler import oracle
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.runtime import load as load_artifact
from intbert.errors import GraphError
from intbert.quantization import import_quantized
from intbert.targets import get_target
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.shape_inference import quant_pre_process

from .graphs import INPUTS, Graphs, constants, load, session, tokens

TOLERANCE = 1e-5
LENGTHS = ((9,), (1,), (20,), (7, 7, 7), (4,))
STEPS = 0.5
"""How far a logit may be off where a value was rounded the other way; logits here reach 4."""


@pytest.fixture
def defaults(graphs: Graphs) -> Callable[..., Path]:
    """A graph, quantized by default settings but for those that are given."""

    def make(source: Path, family: str, kind: str = "defaults", **options: Any) -> Path:
        with np.errstate(all="ignore"):  # ONNX Runtime divides the mask's infinities
            return graphs.static(source, family, kind, **{"op_types_to_quantize": None, "extra_options": {}, **options})

    return make


def assert_agrees(folder: Path, family: str, model: QuantizedModel) -> None:
    """On sentences without padding, which these graphs do not mask (see the test of it)."""
    differences, head = [], model.architecture.head.kind
    for seed, lengths in enumerate(LENGTHS):
        inputs = tokens(lengths, family, 200 + seed)
        outputs = session(folder).run(None, inputs)
        expected = np.stack(outputs, -1) if head is HeadKind.QUESTION_ANSWERING else np.asarray(outputs[0])
        found = oracle.run(model, *(inputs[name] for name in INPUTS if name in inputs))
        differences.append(float(np.abs(found.reshape(expected.shape) - expected).max()))
    assert sum(difference > TOLERANCE for difference in differences) <= 1, differences
    assert max(differences) <= STEPS


MODELS = [
    ("Bert", "Model"),
    ("Bert", "ForTokenClassification"),
    ("Roberta", "ForSequenceClassification"),
    ("Roberta", "ForMaskedLM"),
    ("DistilBert", "ForSequenceClassification"),
    ("DistilBert", "ForQuestionAnswering"),
]


@pytest.mark.parametrize(("family", "head"), MODELS, ids=[family + head for family, head in MODELS])
def test_models(graphs: Graphs, defaults: Callable[..., Path], family: str, head: str) -> None:
    folder = defaults(graphs.exported(family, head), family)
    assert_agrees(folder, family, import_quantized(folder))


SETTINGS: dict[str, dict[str, Any]] = {
    "int8": {},
    "int8 per channel": {"per_channel": True},
    "uint8": {"activation_type": QuantType.QUInt8},
    "uint8 per channel": {"activation_type": QuantType.QUInt8, "per_channel": True},
    "symmetric": {"extra_options": {"ActivationSymmetric": True}},
    "float tables": {"nodes_to_exclude": ["/model/bert/embeddings/word_embeddings/Gather"]},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings(graphs: Graphs, defaults: Callable[..., Path], kind: str) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification")
    folder = defaults(source, "Bert", f"defaults {kind}", **SETTINGS[kind])
    assert_agrees(folder, "Bert", import_quantized(folder))


EXPORTS: dict[str, dict[str, Any]] = {
    "fused gelu": {"opset": 20},
    "eager attention": {"attn_implementation": "eager"},
    "relu": {"hidden_act": "relu"},
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_exports(graphs: Graphs, defaults: Callable[..., Path], kind: str) -> None:
    folder = defaults(graphs.exported("Bert", "ForSequenceClassification", **EXPORTS[kind]), "Bert")
    assert_agrees(folder, "Bert", import_quantized(folder))


def test_after_preprocessing(graphs: Graphs, defaults: Callable[..., Path], tmp_path: Path) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification")
    prepared = Path(shutil.copytree(source, tmp_path / "prepared"))
    quant_pre_process(str(source / "model.onnx"), str(prepared / "model.onnx"), skip_symbolic_shape=True)
    folder = defaults(prepared, "Bert")
    assert_agrees(folder, "Bert", import_quantized(folder))


def test_every_grid_of_the_graph_is_used(graphs: Graphs, defaults: Callable[..., Path]) -> None:
    """But those of constants, of masks, and of queries and keys, whose scales absorb the scores' factor."""
    folder = defaults(graphs.exported("Bert", "ForSequenceClassification"), "Bert")
    model, graph = import_quantized(folder), load(folder)
    arrays = constants(graph)
    left_out = ("Constant", "/Where_output", "/Mul_output", "/Mul_1_output")
    of_graph = {
        (float(arrays[node.input[1]]), int(arrays[node.input[2]]))
        for node in graph.graph.node
        if node.op_type == "QuantizeLinear"
        and not ("attention/self" in node.name and any(part in node.name for part in left_out))
        and "act_fn/Constant" not in node.name
    }
    of_model = {(found.scale, found.zero_point) for found in model.activations.values()}
    for name in ("word", "position", "token_type"):
        scale = float(np.float32(model.weights[f"embeddings.{name}.weight"].scale))
        of_model.add((scale, int(model.weights[f"embeddings.{name}.zero_point"].values[0])))
    assert of_graph <= of_model


def test_the_artifact_returns_the_oracles_bytes(graphs: Graphs, defaults: Callable[..., Path], tmp_path: Path) -> None:
    model = import_quantized(defaults(graphs.exported("Bert", "ForSequenceClassification"), "Bert"))
    artifact = load_artifact(compile_model(model, get_target("host"), lengths=[6], output=tmp_path / "artifact"))
    inputs = tokens((6, 3), "Bert", 0)
    arrays = [inputs[name].astype(np.int32) for name in INPUTS]
    assert artifact.run(*arrays).tobytes() == oracle.run(model, *arrays).astype(np.float32).tobytes()


def test_padding_is_masked_though_the_graph_lets_it_through(graphs: Graphs, defaults: Callable[..., Path]) -> None:
    """The rounded mask is at most as far from 0 as the scores' grid reaches; here a sentence is what it is alone."""
    model = import_quantized(defaults(graphs.exported("Bert", "ForSequenceClassification"), "Bert"))
    padded = tokens((9, 4), "Bert", 3)
    together = oracle.run(model, *(padded[name] for name in INPUTS))
    alone = oracle.run(model, *(padded[name][1:, :4] for name in INPUTS))
    np.testing.assert_array_equal(together[1], alone[0])


PADDED = {
    "sdpa": r"QuantizeLinear '.*self/Where.*': its scale is infinite, as the mask is; calibrate with sentences without",
    "eager": r"QuantizeLinear '.*self/Add.*': its scale, 1\.33e\+36, is the mask's; all scores are rounded to 0; calib",
}


@pytest.mark.parametrize("attention", PADDED)
def test_calibration_with_padding_is_refused(graphs: Graphs, defaults: Callable[..., Path], attention: str) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification", attn_implementation=attention)
    with pytest.raises(GraphError, match=PADDED[attention]):
        import_quantized(defaults(source, "Bert", "padded", lengths=(9, 5)))


def test_a_gelu_that_is_halved_first_is_refused_where_it_is_rounded(
    graphs: Graphs, defaults: Callable[..., Path], tmp_path: Path
) -> None:
    source = Path(shutil.copytree(graphs.exported("Bert", "ForSequenceClassification"), tmp_path / "halved"))
    model = load(source)
    for node in list(model.graph.node):
        if node.name.endswith("act_fn/Mul"):
            halved = onnx.helper.make_node("Mul", [node.input[0], "half"], [f"{node.name} half"], f"{node.name}_half")
            node.input[0] = halved.output[0]
            model.graph.node.insert(list(model.graph.node).index(node), halved)
        elif node.name.endswith("act_fn/Mul_1"):
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output, node.name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    onnx.save(model, str(source / "model.onnx"))
    with pytest.raises(GraphError, match=r"Mul '.*act_fn/Mul': "):
        import_quantized(defaults(source, "Bert"))
