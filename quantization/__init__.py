"""Float checkpoint -> QuantizedModel: schemes, calibration, quantization methods, accuracy.

Importing this package loads neither torch nor transformers; calling it does.
"""

from .checkpoint import load_float_model
from .checkpoint_writer import save_float_model
from .demo import demo_model_folder
from .float_model import FloatModel
from .importers import import_quantized
from .methods import METHODS, Method, get_method
from .pipeline import quantize
from .request import Training
from .scheme import Scheme
from .sentences import read_sentences
from .training.finetune import finetune

__all__ = [
    "METHODS",
    "FloatModel",
    "Method",
    "Scheme",
    "Training",
    "demo_model_folder",
    "finetune",
    "get_method",
    "import_quantized",
    "load_float_model",
    "quantize",
    "read_sentences",
    "save_float_model",
]
