"""What cannot be mapped is refused, and the message names the node, why, and what to do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from intbert.errors import CheckpointError, GraphError
from intbert.quantization import import_quantized
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType

from ..checkpoints import change_json
from .graphs import FLOAT_OUTPUTS, LINEARS, Graphs, constants, load

Change = Callable[[onnx.ModelProto], None]


@pytest.fixture
def classifier(graphs: Graphs, tmp_path: Path) -> Path:
    return Path(shutil.copytree(graphs.classifier(), tmp_path / "classifier"))


def refused(folder: Path, message: str, error: type[Exception] = GraphError) -> None:
    with pytest.raises(error, match=message) as caught:
        import_quantized(folder)
    assert "\n" not in str(caught.value)


def changed(folder: Path, change: Change) -> Path:
    model = load(folder)
    change(model)
    onnx.save(model, str(folder / "model.onnx"))
    return folder


def node_of(model: onnx.ModelProto, op_type: str, number: int = 0) -> onnx.NodeProto:
    return [node for node in model.graph.node if node.op_type == op_type][number]


def replace_constant(model: onnx.ModelProto, name: str, array: Any) -> None:
    (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def weight_names(model: onnx.ModelProto) -> list[str]:
    return [name for name in constants(model) if name.startswith("onnx::MatMul") and name.endswith("_quantized")]


# What lies in the folder.


def test_no_such_path(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.onnx", "nothing.onnx: no such file|config.json is missing")


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "no .onnx file in it")


def test_several_files(classifier: Path) -> None:
    shutil.copyfile(classifier / "model.onnx", classifier / "model_quantized.onnx")
    refused(classifier, r"several ONNX files \(model.onnx, model_quantized.onnx\); give the quantized one")


def test_one_of_several_files(classifier: Path) -> None:
    shutil.copyfile(classifier / "model.onnx", classifier / "model_quantized.onnx")
    assert import_quantized(classifier / "model_quantized.onnx").scheme == "onnx-qdq"


def test_a_file_in_the_onnx_subfolder(classifier: Path) -> None:
    (classifier / "onnx").mkdir()
    (classifier / "model.onnx").rename(classifier / "onnx" / "model.onnx")
    assert import_quantized(classifier).tokenizer == classifier


def test_no_configuration(classifier: Path) -> None:
    (classifier / "config.json").unlink()
    refused(classifier, "config.json is missing; copy it and tokenizer.json")


def test_no_tokenizer_is_a_model_without_one(classifier: Path) -> None:
    (classifier / "tokenizer.json").unlink()
    assert import_quantized(classifier).tokenizer is None


@pytest.mark.parametrize("length", [0, 100, 20_000])
def test_a_damaged_file(classifier: Path, length: int) -> None:
    content = (classifier / "model.onnx").read_bytes()
    (classifier / "model.onnx").write_bytes(content[:length])
    refused(classifier, "copy it again|check the file|opset 0")


def test_missing_external_data(classifier: Path) -> None:
    onnx.save(
        load(classifier), str(classifier / "model.onnx"), save_as_external_data=True, size_threshold=0, location="w"
    )
    (classifier / "w").unlink()
    refused(classifier, "its weights lie in another file that cannot be read")


def test_an_old_opset(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 9

    refused(changed(classifier, change), "opset 9 is not supported, 11 to")


# What is quantized otherwise.


def test_a_float_graph_names_its_first_linear(graphs: Graphs) -> None:
    folder = graphs.exported("Bert", "ForSequenceClassification")
    refused(folder, "MatMul '/model/bert/encoder/layer.0/attention/self/query/MatMul': its weight is float; quantize")


def test_a_linear_left_in_float_is_named(graphs: Graphs) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification")
    name = "/model/bert/encoder/layer.1/intermediate/dense/MatMul"
    folder = graphs.static(source, "Bert", "float linear", nodes_to_exclude=[name])
    refused(folder, f"MatMul '{name}': its weight is float; quantize this operator too")


def test_a_gemm_left_in_float_is_named(graphs: Graphs) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification")
    folder = graphs.static(source, "Bert", "float gemm", op_types_to_quantize=["MatMul"])
    refused(folder, "Gemm '/model/bert/pooler/dense/Gemm': its weight is float")


def test_the_qoperator_format(graphs: Graphs) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification")
    folder = graphs.static(
        source, "Bert", "qoperator", quant_format=QuantFormat.QOperator, op_types_to_quantize=["MatMul"]
    )
    refused(folder, r"QLinearMatMul '.*': .*quantize with quant_format=QuantFormat.QDQ")


def test_a_rounded_step_of_a_layer_normalization(graphs: Graphs) -> None:
    """Before opset 17 it is spelled out, and quantize_static's default settings quantize its Add and Mul."""
    source = graphs.exported("Bert", "ForSequenceClassification", opset=14)
    with np.errstate(invalid="ignore"):  # ONNX Runtime divides the mask's infinities
        folder = graphs.static(source, "Bert", "everything", op_types_to_quantize=None, extra_options={})
    refused(folder, r"QuantizeLinear '.*LayerNorm.*': rounds a step of a layer normalization .*opset_version=17")


def test_16_bit_activations(graphs: Graphs) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification")
    folder = graphs.static(source, "Bert", "16 bits", activation_type=QuantType.QUInt16)
    refused(folder, r"uint16 activations are not supported|uint16 constants are not supported")


def test_asymmetric_weights(graphs: Graphs) -> None:
    source = graphs.exported("Bert", "ForSequenceClassification")
    folder = graphs.static(
        source, "Bert", "asymmetric", weight_type=QuantType.QUInt8, activation_type=QuantType.QUInt8
    )  # fmt: skip
    refused(folder, r"weights lie beyond -127..127 around their zero point, for example -?\d+; quantize with symmetric")


def test_a_weight_of_minus_128(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        name = weight_names(model)[0]
        weight = constants(model)[name].copy()
        weight[3, 2] = -128
        replace_constant(model, name, weight)

    refused(changed(classifier, change), r"MatMul '.*query/MatMul': 1 weights lie beyond -127..127")


def test_weights_with_a_zero_point_that_fits(classifier: Path) -> None:
    """Their integers absorb it: (q - 3) * scale is the same weight."""
    plain = import_quantized(classifier)

    def change(model: onnx.ModelProto) -> None:
        name = weight_names(model)[0]
        weight = constants(model)[name]
        replace_constant(model, name, (weight.astype(np.int16) + 128).astype(np.uint8))
        replace_constant(model, name.replace("_quantized", "_zero_point"), np.array(128, np.uint8))

    shifted = import_quantized(changed(classifier, change))
    name = "layers.0.query.weight"
    assert shifted.weights[name].values.tobytes() == plain.weights[name].values.tobytes()


def test_weight_only(graphs: Graphs, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(graphs.classifier(), tmp_path / "weight only"))

    def change(model: onnx.ModelProto) -> None:
        matmul = node_of(model, "MatMul")
        made_by = {output: node for node in model.graph.node for output in node.output}
        matmul.input[0] = made_by[made_by[matmul.input[0]].input[0]].input[0]

    refused(changed(folder, change), "its weight is quantized and its activation is not")


def test_a_scale_for_every_input_channel(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        name = weight_names(model)[0]
        for suffix, dtype in (("_scale", np.float32), ("_zero_point", np.int8)):
            old = constants(model)[name.replace("_quantized", suffix)]
            replace_constant(model, name.replace("_quantized", suffix), np.full(16, old, dtype))
        (node,) = [node for node in model.graph.node if name in node.input]
        node.attribute.append(helper.make_attribute("axis", 0))

    refused(changed(classifier, change), "its weight has a scale for every input channel; quantize it per tensor")


def test_scales_that_do_not_fit(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        name = weight_names(model)[0].replace("_quantized", "_scale")
        replace_constant(model, name, np.ones(5, np.float32))

    refused(changed(classifier, change), r"DequantizeLinear '.*': scales of shape \[5\] do not fit")


def test_two_quantizers_of_one_activation(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        matmul = node_of(model, "MatMul", 1)
        made_by = {output: node for node in model.graph.node for output in node.output}
        dequantize = made_by[matmul.input[0]]
        quantize = made_by[dequantize.input[0]]
        index = list(model.graph.node).index(matmul)
        model.graph.initializer.append(numpy_helper.from_array(np.array(0.5, np.float32), "other scale"))
        nodes = [
            helper.make_node("QuantizeLinear", [quantize.input[0], "other scale", quantize.input[2]], ["oq"], "other"),
            helper.make_node("DequantizeLinear", ["oq", "other scale", quantize.input[2]], ["odq"]),
        ]
        matmul.input[0] = "odq"
        for node in reversed(nodes):
            model.graph.node.insert(index, node)

    refused(changed(classifier, change), "is quantized in two ways")


# What is no BERT, or another one.


def insert_after(model: onnx.ModelProto, node: onnx.NodeProto, op_type: str, domain: str = "") -> None:
    output = node.output[0]
    node.output[0] = "before"
    added = helper.make_node(op_type, ["before"], [output], "strange", domain=domain)
    model.graph.node.insert(list(model.graph.node).index(node) + 1, added)


@pytest.mark.parametrize(
    ("op_type", "domain", "message"),
    [
        ("Sin", "", "Sin 'strange': this operator on activations has no counterpart here"),
        ("BiasGelu", "com.microsoft", "com.microsoft.BiasGelu 'strange': this operator on activations"),
        ("Tanh", "", "Tanh 'strange'"),
        ("Sqrt", "", "Sqrt 'strange': only a layer normalization takes roots"),
        ("Erf", "", "Erf 'strange': erf of something else"),
        ("Softmax", "", "Softmax 'strange': a softmax of something else"),
        ("IsNaN", "", "IsNaN 'strange': looks for NaN elsewhere"),
    ],
)
def test_an_operator_too_many(classifier: Path, op_type: str, domain: str, message: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        insert_after(model, node_of(model, "LayerNormalization", 1), op_type, domain)

    refused(changed(classifier, change), re.escape(message))


def test_a_graph_that_ignores_the_mask(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        softmax = node_of(model, "Softmax")
        made_by = {output: node for node in model.graph.node for output in node.output}
        softmax.input[0] = made_by[softmax.input[0]].input[0]

    refused(changed(classifier, change), "Softmax '.*': the padding of its scores is not masked")


def test_a_mask_the_wrong_way_round(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = node_of(model, "Cast")
        assert node.input[0] == "attention_mask"
        insert_after(model, node, "Not")

    refused(changed(classifier, change), "Add '.*': what it adds to the scores is not 0 for tokens")


def test_another_input(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("position_ids", onnx.TensorProto.INT64, [None, None]))

    refused(changed(classifier, change), "has an input 'position_ids'; export it with the inputs input_ids")


def test_a_residual_from_elsewhere(classifier: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        norms = [node.output[0] for node in model.graph.node if node.op_type == "LayerNormalization"]
        adds = [node for node in model.graph.node if node.op_type == "Add" and node.name.endswith("output/Add")]
        last = adds[-1]
        made_by = {output: node for node in model.graph.node for output in node.output}
        for index, name in enumerate(last.input):
            if made_by[name].op_type == "DequantizeLinear":
                last.input[index] = norms[0]

    refused(changed(classifier, change), "another residual than")


CONFIGURATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "heads": ({"num_attention_heads": 2}, "4 attention heads, config.json says 2"),
    "hidden size": ({"hidden_size": 32}, r"config.json implies \[2, 32\] for 'head.classifier'"),
    "intermediate size": ({"intermediate_size": 30}, r"config.json implies \[16, 30\]"),
    "too few layers": ({"num_hidden_layers": 1}, "an embedding was expected here"),
    "too many layers": ({"num_hidden_layers": 3}, "was expected here|a linear and a residual were expected here"),
    "vocabulary": ({"vocab_size": 50}, r"table of shape \[40, 16\] where config.json implies \[50, 16\]"),
    "labels": ({"id2label": {"0": "a", "1": "b", "2": "c"}}, r"config.json implies \[3, 16\] for 'head.classifier'"),
    "activation": ({"hidden_act": "relu"}, "the activation is gelu, config.json says relu"),
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_the_configuration_of_another_model(classifier: Path, kind: str) -> None:
    changes, message = CONFIGURATIONS[kind]
    change_json(classifier / "config.json", **changes)
    refused(classifier, message)


def test_an_unknown_family(classifier: Path) -> None:
    change_json(classifier / "config.json", model_type="gpt2")
    refused(classifier, "model_type 'gpt2' is not supported", CheckpointError)


def test_the_settings_that_the_messages_advise_are_those_that_work() -> None:
    from intbert.quantization.importers.assembly import OUTPUT_ADVICE

    assert str(LINEARS) in OUTPUT_ADVICE
    assert str(FLOAT_OUTPUTS) in OUTPUT_ADVICE
