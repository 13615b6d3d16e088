"""Float checkpoint -> QuantizedModel: schemes, calibration, quantization methods, accuracy.

Importing this package loads neither torch nor transformers; calling it does.
"""

from .checkpoint import load_float_model
from .demo import demo_model_folder
from .float_model import FloatModel
from .importers import import_quantized
from .methods import METHODS, Method, get_method
from .pipeline import quantize
from .scheme import Scheme
from .sentences import read_sentences

__all__ = [
    "METHODS",
    "FloatModel",
    "Method",
    "Scheme",
    "demo_model_folder",
    "get_method",
    "import_quantized",
    "load_float_model",
    "quantize",
    "read_sentences",
]
