"""What is measured, and how much memory it took: for benchmarks and profiles of a loaded artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .runtime import Model

# Most of its words stand in it once.
_TEXT = (
    "Early in the morning the ferry leaves the harbour for the northern islands, loaded with bread, letters, "
    "bicycles and a few sleepy passengers. Fishermen mend blue nets beside wooden boats while gulls argue "
    "over yesterday's catch. By noon fog covers every roof, and children count the slow bells of a church "
    "that nobody can see. When evening comes, lamps appear along the quay one after another."
)
_WORDS = len(_TEXT.split())


def sample_ids(model: Model, length: int) -> NDArray[Any]:
    """``length`` tokens [1, length]: of a text, so that as much of the vocabulary is read as texts read."""
    import numpy as np

    if length > model.max_length:
        raise InputError(f"{length} tokens, the artifact's largest bucket holds {model.max_length}")
    if model.has_tokenizer:
        return model.tokenize([" ".join([_TEXT] * (length // _WORDS + 1))], truncate=True).ids[:, :length]
    return np.arange(length)[None] % model.manifest.architecture.vocabulary


def peak_rss_mb() -> float:
    """The largest resident set of this process so far, in MiB.

    Not getrusage's ru_maxrss, in which a process starts with the peak of the one that it was forked from.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")
