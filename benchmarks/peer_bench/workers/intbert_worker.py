"""This project: an artifact, through the public API."""

from typing import Any

from .serve import Loaded, Run, Spec, inputs_of_length, serve


def load(spec: Spec) -> Loaded:
    """int32 token ids [batch, length] -> the head's integers."""
    import intbert
    import numpy as np

    model = intbert.load(spec.model, threads=spec.threads)

    def run_of(length: int) -> Run:
        inputs = inputs_of_length(spec.inputs, length, spec.batch)
        feed = {name: array.astype(np.int32) for name, array in inputs.items()}
        return lambda: model.run(**feed)

    def to_float(integers: Any) -> np.ndarray:
        return np.asarray(integers, dtype=np.float64) * np.asarray(model.output_scale, dtype=np.float64)

    runs = {length: run_of(length) for length in spec.lengths}
    return Loaded(runs, {"intbert": intbert.__version__}, to_float)


if __name__ == "__main__":
    serve(load)
