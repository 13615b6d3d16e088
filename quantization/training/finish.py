"""From a trained student to the integers that it was trained to be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from ...compiler.model import Quantization, QuantizedModel
from ..export import HEADROOM, export
from ..request import Request
from ..scheme import Scheme
from .learned_activations import observe
from .options import TrainingOptions
from .student import Student
from .tasks import Collator, LengthGroupedBatches, TokenizedExample, training_set

OBSERVED_BATCHES = 64
"""Batches of the training set on which the ranges of the wide activations are observed."""


def examples_of(request: Request, options: TrainingOptions) -> list[TokenizedExample]:
    """The training set of the request's task; see :func:`.tasks.training_set`."""
    training = request.needed_training()
    return training_set(
        request.model,
        training.task,
        training.data,
        limit=options.limit,
        seed=training.seed,
        max_length=options.max_length,
    )


def first_batches(
    request: Request,
    options: TrainingOptions,
    examples: Sequence[TokenizedExample],
    count: int | None = OBSERVED_BATCHES,
) -> Iterator[Mapping[str, Tensor]]:
    """The first ``count`` batches that training sees; None: those of the first epoch."""
    seed = request.needed_training().seed
    batches = LengthGroupedBatches([example.length for example in examples], options.batch_size, seed)
    collator = Collator(request.model.architecture.pad_token_id)
    return (collator([examples[row] for row in rows]) for rows in itertools.islice(batches, count))


def finish(
    request: Request,
    scheme: Scheme,
    student: Student,
    batches: Iterator[Mapping[str, Tensor]],
    provenance: Mapping[str, Any],
) -> QuantizedModel:
    """Exports ``student`` with what its fake quantization learned; wide activations are observed on ``batches``."""
    quantization = student.fake_quantization
    activations: dict[str, Quantization] = {**observe(student, batches, scheme), **quantization.activations()}
    quantizer = quantization.weight_quantizer()
    return export(
        student.to_float_model(),
        scheme,
        activations,
        quantizer,
        quantizer,
        {
            "method": f"{scheme.name}, quantization-aware training",
            "weight_bits": scheme.weight_bits,
            "activation_bits": scheme.activation_bits,
            "embedding_bits": scheme.embedding_bits,
            "weight_overrides": dict(scheme.weight_overrides),
            "activation_overrides": dict(scheme.activation_overrides),
            "weight_granularity": scheme.weight_granularity.value,
            "options": asdict(request.options),
            "headroom": HEADROOM,
            **provenance,
        },
    )
