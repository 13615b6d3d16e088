"""MKQ-BERT: 4-bit weights and activations in a chosen set of encoder layers, 8 bits in the others.

Tang et al., "MKQ-BERT: Quantized BERT with 4-bits Weights and Activations", 2022. Where the paper is silent, what is
here is ours: the scales' gradient is that of the squared error between values and quantized values (see
:mod:`.training.mkq_scale`); the distillation is that of MiniLM (the last layer's attention and value relation) and
the logits; word embeddings have 4 bits; and the int4 layers are those whose 4 bits change the logits least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..compiler.model import Architecture, QuantizedModel
from ..errors import SchemeError
from .request import Request
from .scheme import Scheme
from .structure import encoder_linears
from .training.options import DistillationOptions

if TYPE_CHECKING:
    from torch import Tensor

    from .float_model import FloatModel

HIGH_BITS = 8
"""Bits of the layers that are not int4."""
SENSITIVITY_BATCHES = 4


@dataclass(frozen=True)
class MkqbertOptions(DistillationOptions):
    """How to train, which layers are int4, and what the terms of the distillation weigh."""

    quantizer_learning_rate: float = 1e-3
    """Relative: it is that of the logarithms of the step sizes."""
    int4_layers: str = "half"
    """``all``, ``half``, a number of layers (the least sensitive ones), or a list: ``0,2`` (one layer: ``3,``)."""
    attention: float = 1.0
    """Weight of the divergence of the last layer's attention."""
    value_relation: float = 1.0
    """Weight of the divergence of the last layer's value relation."""
    logits: float = 1.0
    """Weight of the logits' soft cross entropy."""
    labels: float = 0.0
    """Weight of the task's own loss."""


def quantize_mkqbert(request: Request) -> QuantizedModel:
    """Trains on the request's task, the float model as the teacher.

    Raises SchemeError (layers that the model does not have), TrainingError, EvaluationError, OutputError and
    QuantizedModelError as other methods that train do.
    """
    from .training.distillation import Distillation, LastAttention, Logits, ValueRelation
    from .training.finish import examples_of, finish, first_batches
    from .training.learned import LearnedQuantization
    from .training.learned_activations import least_squares
    from .training.mkq_scale import least_squares_scale
    from .training.student import Student
    from .training.teaching import teacher_of
    from .training.trainer import train

    options: MkqbertOptions = request.options
    architecture = request.model.architecture
    examples = examples_of(request, options)
    chosen = parse_layers(options.int4_layers, architecture.layers)
    sensitivity: dict[int, float] = {}
    if isinstance(chosen, int) and chosen < architecture.layers:
        batches = list(first_batches(request, options, examples, SENSITIVITY_BATCHES))
        sensitivity = sensitivities(request.model, request.scheme, batches)
        chosen = sorted(sorted(sensitivity, key=lambda layer: sensitivity[layer])[:chosen])
    elif isinstance(chosen, int):
        chosen = list(range(architecture.layers))
    scheme = with_int4_layers(request.scheme, architecture, chosen)

    student = Student(request.model, LearnedQuantization(architecture, scheme, least_squares_scale, least_squares))
    terms = (LastAttention(options.attention), ValueRelation(options.value_relation), Logits(options.logits))
    teacher = teacher_of(request, options, examples, terms, options.epochs)
    provenance = train(
        student,
        request.needed_training(),
        options,
        loss=Distillation(teacher, terms, options.labels),
        progress=request.progress,
        recipe={"scheme": scheme.name, "embedding_bits": scheme.embedding_bits, "int4_layers": list(chosen)},
        examples=examples,
    )
    provenance |= {"int4_layers": list(chosen), "sensitivity": {str(layer): s for layer, s in sensitivity.items()}}
    return finish(request, scheme, student, first_batches(request, options, examples), provenance)


def parse_layers(text: str, layers: int) -> int | list[int]:
    """The number of int4 layers, or which they are; SchemeError where a model of ``layers`` has no such layers."""
    if text in ("all", "half"):
        return layers if text == "all" else -(-layers // 2)
    try:
        numbers = sorted({int(part) for part in text.split(",") if part.strip()})
    except ValueError:
        numbers = []
    if "," not in text and numbers and 1 <= numbers[0] <= layers:
        return numbers[0]
    if "," in text and numbers and numbers[0] >= 0 and numbers[-1] < layers:
        return numbers
    raise SchemeError(
        f"int4_layers is {text!r}; give all, half, a number from 1 to {layers}, or a list of layers from 0 to "
        f"{layers - 1} as in '0,2'"
    )


def with_int4_layers(scheme: Scheme, architecture: Architecture, layers: Iterable[int]) -> Scheme:
    """``scheme`` with 8 bits in all of the encoder but ``layers``."""
    low = {f"layers.{layer}" for layer in layers}
    weights: dict[str, int] = {}
    activations: dict[str, int] = {}
    for linear in encoder_linears(architecture):
        if linear.name.rpartition(".")[0] not in low:
            weights[linear.name] = activations[linear.input] = HIGH_BITS
    return replace(scheme, weight_overrides=weights, activation_overrides=activations)


def sensitivities(model: FloatModel, scheme: Scheme, batches: Sequence[Mapping[str, Tensor]]) -> dict[int, float]:
    """By layer, the mean squared change of the logits on ``batches`` when that layer alone has few bits."""
    import torch

    from .training.learned import LearnedQuantization
    from .training.learned_activations import least_squares
    from .training.mkq_scale import least_squares_scale
    from .training.student import Student

    layers = model.architecture.layers
    inputs = [{name: values for name, values in batch.items() if name != "labels"} for batch in batches]
    found = {}
    with torch.no_grad():
        expected = [Student(model)(**batch)["logits"] for batch in inputs]
        for layer in range(layers):
            lowered = with_int4_layers(scheme, model.architecture, [layer])
            quantization = LearnedQuantization(model.architecture, lowered, least_squares_scale, least_squares)
            student = Student(model, quantization)
            quantization.prepare(student, inputs[0])
            errors = [
                (student(**batch)["logits"] - wanted).square().mean()
                for batch, wanted in zip(inputs, expected, strict=True)
            ]
            found[layer] = torch.stack(errors).mean().item()
    return found
