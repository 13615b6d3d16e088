"""What a run that goes on from a checkpoint must have in common with the one that began."""

from __future__ import annotations

from typing import Any

from ..request import Request


def recipe(request: Request, method: str) -> dict[str, Any]:
    """The method and its scheme; the options, the task and the data are the trainer's to compare."""
    scheme = request.scheme
    return {
        "method": method,
        "weight_bits": scheme.weight_bits,
        "activation_bits": scheme.activation_bits,
        "embedding_bits": scheme.embedding_bits,
        "weight_granularity": scheme.weight_granularity.value,
    }
