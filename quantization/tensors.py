"""Float tensors by name, from safetensors files or from memory. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError

if TYPE_CHECKING:
    import torch

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLES = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.ckpt.index",
    "tf_model.h5",
    "flax_model.msgpack",
)


class TensorSource(Protocol):
    """Tensors by name."""

    def __contains__(self, name: str) -> bool: ...

    def get(self, name: str) -> torch.Tensor: ...


class MemoryTensors:
    """The tensors of a model in memory (its ``state_dict``)."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def get(self, name: str) -> torch.Tensor:
        """The tensor called ``name``."""
        return self._tensors[name].detach().cpu().clone()


class SafetensorsFiles:
    """The tensors of one or several safetensors files; each is read when it is asked for."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def get(self, name: str) -> torch.Tensor:
        """The tensor called ``name``; raises CheckpointError when its file is damaged."""
        from safetensors import SafetensorError, safe_open

        path = self._files[name]
        try:
            # numpy has no bfloat16, so the tensors come through torch.
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path}: cannot read tensor '{name}' ({error}); copy the file again") from None


def open_folder(folder: Path) -> SafetensorsFiles:
    """The tensors of a checkpoint folder: ``model.safetensors`` or the shards that its index lists.

    Raises CheckpointError when there are none, or when a file is missing, truncated or damaged.
    """
    if (folder / SINGLE_FILE).is_file():
        return SafetensorsFiles(dict.fromkeys(_names(folder / SINGLE_FILE), folder / SINGLE_FILE))
    if (folder / INDEX_FILE).is_file():
        return SafetensorsFiles(_shards(folder))
    present = [name for name in PICKLES if (folder / name).exists()]
    if present:
        raise CheckpointError(
            f"{folder}: {present[0]} is not read, such files can run code; if you trust it, convert it: "
            "AutoModel.from_pretrained('IN').save_pretrained('OUT') of transformers writes safetensors"
            " (take the AutoModelFor... class of its head)"
        )
    raise CheckpointError(f"{folder}: {SINGLE_FILE} is missing; give the folder of a Hugging Face checkpoint")


def _names(path: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: truncated or damaged safetensors file ({error}); copy it again") from None


def _shards(folder: Path) -> dict[str, Path]:
    try:
        weight_map: dict[str, str] = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))["weight_map"]
        files = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / INDEX_FILE}: damaged index of shards ({error!r}); copy it again") from None
    present: dict[str, Path] = {}
    for file in files:
        if Path(file).name != file:
            raise CheckpointError(f"{folder / INDEX_FILE}: shard '{file}' lies outside of the folder")
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder}: shard {file} is missing; copy it from where the checkpoint came from")
        present |= dict.fromkeys(_names(folder / file), folder / file)
    missing = sorted(set(weight_map) - set(present))
    if missing:
        raise CheckpointError(f"{folder}: tensor '{missing[0]}' is in {INDEX_FILE} but in no shard; copy them again")
    return present


def float_array(source: TensorSource, name: str, shape: tuple[int, ...], where: str) -> NDArray[np.float32]:
    """The tensor ``name`` as a float32 array.

    Raises CheckpointError, its message starting with ``where``, unless it is there, floating, finite and of
    ``shape``.
    """
    import torch

    if name not in source:
        raise CheckpointError(f"{where}: tensor '{name}' is missing; the checkpoint does not fit its config.json")
    tensor = source.get(name)
    if tuple(tensor.shape) != shape:
        raise CheckpointError(
            f"{where}: tensor '{name}' has shape {list(tensor.shape)}, config.json implies {list(shape)}"
        )
    if not tensor.is_floating_point():
        raise CheckpointError(
            f"{where}: tensor '{name}' is {str(tensor.dtype).removeprefix('torch.')}; "
            "a float checkpoint (float32, float16, bfloat16) is needed"
        )
    array = tensor.to(torch.float32).contiguous().numpy()
    if not np.isfinite(array).all():
        raise CheckpointError(f"{where}: tensor '{name}' holds NaN or infinity; train or download it again")
    return array
