"""Post-training quantization: scales and integers from a few observed sentences, no labels.

Hu, Meinel, Yang, "Empirical Evaluation of Post-Training Quantization Methods for Language Tasks", 2022, compare
the methods here on BERT.
"""

from .calibrated import provenance, quantize_calibrated
from .lq import quantize_lq

__all__ = ["provenance", "quantize_calibrated", "quantize_lq"]
