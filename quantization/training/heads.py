"""A new head for a task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...compiler.model import Activation, Architecture, Family, Head, HeadKind
from ..float_model import FloatModel
from ..glue import Task
from ..structure import tensor_shapes

INITIAL_DEVIATION = 0.02
"""Of a new head's weights (BERT's initializer_range)."""


def with_head_for(model: FloatModel, task: Task, seed: int) -> FloatModel:
    """``model`` with a head that fits ``task``: its own where it does, else a new one, initialised by ``seed``.

    A model with mean pooling keeps it for a score of sentence pairs.
    """
    if _fits(model.architecture, task):
        return model
    labels = tuple(f"LABEL_{index}" for index in range(task.classes or 1))
    pooler = Activation.RELU if model.architecture.family is Family.DISTILBERT else Activation.TANH
    architecture = replace(model.architecture, head=Head(HeadKind.SEQUENCE_CLASSIFICATION, pooler, labels))
    random = np.random.default_rng(seed)
    weights = {name: array for name, array in model.weights.items() if not name.startswith("head.")}
    for name, shape in tensor_shapes(architecture).items():
        if name not in weights:
            deviation = INITIAL_DEVIATION if name.endswith(".weight") else 0.0
            weights[name] = (random.standard_normal(shape) * deviation).astype(np.float32)
    return replace(model, architecture=architecture, weights=weights)


def _fits(architecture: Architecture, task: Task) -> bool:
    head = architecture.head
    if head.kind is HeadKind.MEAN_POOLING:
        return task.classes is None
    return head.kind is HeadKind.SEQUENCE_CLASSIFICATION and len(head.labels) == (task.classes or 1)
