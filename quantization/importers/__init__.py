"""Models that were quantized elsewhere -> QuantizedModel: their integers, scales and zero points as they are."""

from .entry import import_quantized

__all__ = ["import_quantized"]
