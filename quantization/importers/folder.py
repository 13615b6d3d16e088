"""Where an ONNX file, its config.json and its tokenizer lie, as Optimum and sentence-transformers write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...compiler.model import TOKENIZER_FILE, Head, HeadKind
from ...errors import GraphError
from ..configuration import Configuration, read_configuration
from ..pooling import MODULES_FILE, read_json, read_modules

CONFIG_FILE = "config.json"
SUBFOLDER = "onnx"


@dataclass(frozen=True)
class OnnxModel:
    """The graph's file and what lies beside it."""

    file: Path
    configuration: Configuration
    tokenizer: Path | None
    name: str


def find(path: Path) -> OnnxModel:
    """The ONNX model at ``path``, a file or a folder; GraphError or CheckpointError that says what is missing."""
    file = _file(path)
    places = [file.parent, *([file.parent.parent] if file.parent.name == SUBFOLDER else [])]
    home = next((place for place in places if (place / CONFIG_FILE).is_file()), None)
    if home is None:
        raise GraphError(
            f"{file.parent}: {CONFIG_FILE} is missing; copy it and {TOKENIZER_FILE} from the exported checkpoint"
        )
    document = read_json(home / CONFIG_FILE)
    if not isinstance(document, dict):
        raise GraphError(f"{home / CONFIG_FILE}: not a JSON object; copy it again")
    modules = read_modules(home) if (home / MODULES_FILE).is_file() else None
    pooling = None if modules is None else Head(HeadKind.MEAN_POOLING, normalize=modules.normalize)
    configuration = read_configuration(document, str(home / CONFIG_FILE), pooling)
    tokenizer = home if (home / TOKENIZER_FILE).is_file() else None
    return OnnxModel(file, configuration, tokenizer, home.resolve().name)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted([*path.glob("*.onnx"), *(path / SUBFOLDER).glob("*.onnx")])
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(file.relative_to(path)) for file in found)
    raise GraphError(
        f"{path}: several ONNX files ({names}); give the quantized one" if found else f"{path}: no .onnx file in it"
    )
