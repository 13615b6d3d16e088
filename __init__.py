"""intbert: integer BERT models, compiled with Apache TVM for the edge.

    model = intbert.quantize("my-bert", sentences=intbert.read_sentences("sentences.txt"))
    intbert.compile(model, intbert.get_target("host"), output="my-bert.host")
    embeddings = intbert.load("my-bert.host")(["a sentence"])

Names are imported when they are first used: running an artifact loads neither torch nor the compiler.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import IntbertError

if TYPE_CHECKING:
    from .compiler.deploy import deploy as compile
    from .compiler.model import QuantizedModel
    from .compiler.model_files import load as load_quantized
    from .compiler.model_files import save as save_quantized
    from .compiler.runtime import Model, load
    from .quantization import quantize, read_sentences
    from .quantization.evaluation import evaluate
    from .targets import Target, get_target, list_targets

__version__ = "0.1.0"

__all__ = [
    "IntbertError",
    "Model",
    "QuantizedModel",
    "Target",
    "compile",
    "evaluate",
    "get_target",
    "list_targets",
    "load",
    "load_quantized",
    "quantize",
    "read_sentences",
    "save_quantized",
]

_HOMES = {
    "Model": ("compiler.runtime", "Model"),
    "QuantizedModel": ("compiler.model", "QuantizedModel"),
    "Target": ("targets", "Target"),
    "compile": ("compiler.deploy", "deploy"),
    "evaluate": ("quantization.evaluation", "evaluate"),
    "get_target": ("targets", "get_target"),
    "list_targets": ("targets", "list_targets"),
    "load": ("compiler.runtime", "load"),
    "load_quantized": ("compiler.model_files", "load"),
    "quantize": ("quantization", "quantize"),
    "read_sentences": ("quantization", "read_sentences"),
    "save_quantized": ("compiler.model_files", "save"),
}
"""Public name -> (module, name there)."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
