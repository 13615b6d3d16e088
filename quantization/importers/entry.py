"""The importer's entrance: tells what lies at a path, and imports it."""

from __future__ import annotations

import json
from pathlib import Path

from ...compiler.model import QuantizedModel
from .folder import CONFIG_FILE


def import_quantized(path: Path | str) -> QuantizedModel:
    """The model at ``path`` that was quantized elsewhere, with its own integers, scales and zero points.

    ``path`` is an ONNX file, or a folder that holds one, of a BERT, RoBERTa or DistilBERT (static QDQ of ONNX Runtime
    or NNCF, or dynamic int8) with config.json and tokenizer.json beside it; or the folder of a Hugging Face checkpoint
    of model_type ``ibert`` that was trained with quant_mode. Raises GraphError, which names the node that cannot be
    mapped, or CheckpointError.
    """
    path = Path(path)
    if _is_ibert(path):
        from .ibert_checkpoint import import_ibert

        return import_ibert(path)
    from .onnx_import import import_onnx

    return import_onnx(path)


def _is_ibert(path: Path) -> bool:
    try:
        document = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("model_type") == "ibert"
