"""Writes what is fed and what must come out: ``make_inputs CHECKPOINT POOLING SENTENCES LENGTHS OUTPUT``."""

import sys
from pathlib import Path

import numpy as np
import torch

from .float_model import load_encoder
from .sentences import ids_of_length


def main() -> None:
    checkpoint, pooling, sentences, lengths, output = sys.argv[1:]
    encoder = load_encoder(Path(checkpoint), pooling == "True", attention="eager")
    arrays: dict[str, np.ndarray] = {}
    for length in map(int, lengths.split(",")):
        ids = ids_of_length(Path(checkpoint), Path(sentences), length)
        with torch.inference_mode():
            tensor = torch.from_numpy(ids)
            reference = encoder(tensor, torch.ones_like(tensor), torch.zeros_like(tensor))
        arrays |= {f"ids_{length}": ids, f"reference_{length}": reference.numpy()}
    np.savez(Path(output) / "inputs.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
