"""Whole integer models on a GPU: not one instruction of any kernel computes with floats, by the machine code.

Float kernels are those of layers that a mixed model computes in float, which :mod:`...compiler.operators.real` has.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from intbert.compiler.build import kernel_source
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.packing import Packing
from intbert.targets import get_target

from ...cuda.machine_code import cubin_of, disassembled, integer_code
from ...models import Size, tiny_model
from ..low_bits import with_linears, with_split
from ..test_mixed_lowering import mixed_model

LENGTH, BATCH = 16, 8
MINILM = Size(hidden=384, heads=12, intermediate=1536)
"""One layer of all-MiniLM-L6-v2; the 128 rows that it is compiled for are as many as one of its sentences has."""
SMALL = Size(hidden=128, heads=2, intermediate=256)


def few_bits() -> QuantizedModel:
    """Weights of 3 bits, one with split channels; a head with tanh."""
    model = with_linears(tiny_model("Roberta", HeadKind.SEQUENCE_CLASSIFICATION, SMALL), Packing(3))
    return with_split(model, "layers.0.intermediate", [3, 17])


MODELS: dict[str, Callable[[], QuantizedModel]] = {
    "minilm": lambda: tiny_model("Bert", HeadKind.MEAN_POOLING, MINILM),
    "few-bits": few_bits,
    "plain": lambda: tiny_model("DistilBert", HeadKind.SEQUENCE_CLASSIFICATION, relu=True),
}
"""``plain``: no size suits a tensor core."""


@pytest.mark.parametrize(
    ("model", "target"),
    [("minilm", "cuda-sm75"), ("minilm", "jetson-orin"), ("few-bits", "jetson-orin"), ("plain", "cuda-sm75")],
)
def test_every_kernel(model: str, target: str) -> None:
    chip = get_target(target)
    assert chip.cuda is not None
    source = kernel_source(MODELS[model](), chip, lengths=[LENGTH], batches=[BATCH])
    kernels = integer_code(source, chip.cuda)
    operators = {name.partition("_kernel")[0].rstrip("0123456789") for name in kernels}
    assert {"embedding", "linear", "attention", "layer_norm"} <= operators


def test_a_model_with_floats_is_told() -> None:
    """The layers of a mixed model that are in float."""
    chip = get_target("jetson-orin")
    assert chip.cuda is not None
    source = kernel_source(mixed_model("Bert", HeadKind.MEAN_POOLING, "static"), chip, lengths=[6])
    functions = disassembled(cubin_of(source, chip.cuda), chip.cuda)
    assert any(instruction.computes_floats for code in functions.values() for instruction in code)
