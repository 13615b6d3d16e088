"""What post-training methods share: observe activations, choose integers for the weights, export."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

from ...compiler.model import QuantizedModel
from ..export import HEADROOM, activations_from_ranges, export
from ..request import Request
from ..weights import WeightQuantizer
from .observed import observed_ranges


def quantize_calibrated(
    request: Request, quantizer: WeightQuantizer, table_quantizer: WeightQuantizer | None = None
) -> QuantizedModel:
    """Activations by the observer of the request's calibration; the encoder's weights by ``quantizer``.

    The word embeddings are quantized by ``table_quantizer``; None: by their largest magnitudes.

    Raises CalibrationError (unknown observer, nothing to calibrate on, activations that are not finite) and
    QuantizedModelError (a bias that does not fit).
    """
    activations = activations_from_ranges(request.model, request.scheme, observed_ranges(request))
    return export(request.model, request.scheme, activations, quantizer, table_quantizer, provenance(request))


def provenance(request: Request) -> dict[str, Any]:
    """How a calibrated model came to be."""
    scheme, calibration = request.scheme, request.needed_calibration()
    batches = calibration.batches
    return {
        "method": f"{scheme.name}, post-training",
        "weight_bits": scheme.weight_bits,
        "activation_bits": scheme.activation_bits,
        "embedding_bits": scheme.embedding_bits,
        "weight_granularity": scheme.weight_granularity.value,
        "options": asdict(request.options) if is_dataclass(request.options) else {},  # type: ignore[arg-type]
        "calibration": calibration.observer,
        "calibration_sentences": sum(len(batch.rows) for batch in batches),
        "calibration_tokens": int(sum(batch.attention_mask.sum() for batch in batches)),
        "headroom": HEADROOM,
    }
