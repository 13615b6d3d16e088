"""PyTorch on a GPU: the float model in eager mode, its attention fused."""

from pathlib import Path
from typing import Any

from peer_bench.workers.serve import Loaded, Run, Spec, ends_pooled, inputs_of_length, serve


def load(spec: Spec) -> Loaded:
    """The model in ``spec.precision``, fp16 or fp32 (without TF32)."""
    import numpy as np
    import torch
    from peer_bench.prepare.float_model import load_encoder

    torch.backends.cuda.matmul.allow_tf32 = False
    dtype = {"fp16": torch.float16, "fp32": torch.float32}[spec.precision]
    encoder: Any = load_encoder(Path(spec.model), ends_pooled(spec), attention="sdpa").to("cuda", dtype)

    def run_of(length: int) -> Run:
        arrays = inputs_of_length(spec.inputs, length, spec.batch)

        def run() -> np.ndarray:
            feed = {name: torch.from_numpy(array).to("cuda") for name, array in arrays.items()}
            with torch.inference_mode():
                return encoder(**feed).cpu().numpy()  # waits for the GPU

        return run

    return Loaded({length: run_of(length) for length in spec.lengths}, {"torch": torch.__version__}, np.asarray)


if __name__ == "__main__":
    serve(load)
