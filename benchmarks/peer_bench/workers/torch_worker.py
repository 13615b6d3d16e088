"""PyTorch: the float model in eager mode, or with its linears dynamically quantized to int8."""

import warnings
from pathlib import Path
from typing import Any

from .serve import Loaded, Run, Spec, ends_pooled, inputs_of_length, serve


def _quantized(model: Any) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of eager quantization, which torch still has
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def load(spec: Spec) -> Loaded:
    """The model takes any length; its fused attention (sdpa) is the faster one."""
    import numpy as np
    import torch

    from ..prepare.float_model import load_encoder

    torch.set_num_threads(spec.threads)
    torch.set_num_interop_threads(1)
    encoder: Any = load_encoder(Path(spec.model), ends_pooled(spec), attention="sdpa")
    if spec.precision == "int8":
        encoder = _quantized(encoder)

    def run_of(length: int) -> Run:
        feed = {name: torch.from_numpy(x) for name, x in inputs_of_length(spec.inputs, length, spec.batch).items()}

        def run() -> np.ndarray:
            with torch.inference_mode():
                return encoder(**feed).numpy()

        return run

    runs = {length: run_of(length) for length in spec.lengths}
    return Loaded(runs, {"torch": torch.__version__, "engine": torch.backends.quantized.engine}, np.asarray)


if __name__ == "__main__":
    serve(load)
