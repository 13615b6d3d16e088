"""The float model has the operators of an artifact of the same architecture, and its shapes."""

from __future__ import annotations

import pytest
import torch
from intbert.compiler.lowering import lower
from intbert.compiler.model import HeadKind
from intbert.rpc.benchmark.float_model import FloatModel

from ...models import Size, tiny_model

BATCH, LENGTH = 2, 5
IDS = torch.arange(BATCH * LENGTH).view(BATCH, LENGTH)


@pytest.mark.parametrize("head", list(HeadKind), ids=lambda head: head.value)
@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_operators_and_output(family: str, head: HeadKind) -> None:
    quantized = tiny_model(family, head, Size(layers=2))
    model = FloatModel(quantized.architecture)
    names = [name for name, _ in model.steps]
    operators = [step.operator.name for step in lower(quantized).steps]
    assert [name for name in operators if name not in names] == []
    assert list(model.times(IDS)) == names
    output = model.run(IDS)
    assert output.dtype == torch.float32
    assert output.shape[:-1] == ((BATCH, LENGTH) if head.per_token else (BATCH,))
    assert torch.isfinite(output).all()


def test_what_a_layer_gets_is_added_to_the_output_of_its_attention() -> None:
    """Where attention gives nothing, that is all there is, but for the bias."""
    architecture = tiny_model("Bert", HeadKind.NONE).architecture
    model = FloatModel(architecture)
    value = torch.randn(1, LENGTH, architecture.hidden, generator=torch.Generator().manual_seed(1))
    steps = dict(model.steps)
    steps["layers.0.query_key_value"](value)
    context = torch.zeros(1, LENGTH, architecture.hidden)
    bias = steps["layers.0.attention_output"](context) - value
    torch.testing.assert_close(bias, bias[:, :1].expand_as(bias))
