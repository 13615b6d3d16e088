"""CTranslate2's encoder, weights and products in int8, everything else in float32.

It also computes BERT's pooler, one row of a small product. The mean over the tokens, where the job ends with it, is
NumPy's: CTranslate2 has none.
"""

import os
from importlib.metadata import version

from .serve import Loaded, Run, Spec, ends_pooled, inputs_of_length, serve

# This process has its CPUs for itself while it measures. Left to itself, its OpenMP leaves two threads on one of them,
# or lets them sleep: two threads then often take longer than one.
OPENMP = {"OMP_PROC_BIND": "true", "OMP_WAIT_POLICY": "active"}


def load(spec: Spec) -> Loaded:
    """One encoder for every length; it takes lists of ids."""
    os.environ.update(OPENMP)  # read when the library is loaded
    import ctranslate2  # pyright: ignore[reportMissingImports]
    import numpy as np

    encoder = ctranslate2.Encoder(
        spec.model, device="cpu", compute_type=spec.precision, intra_threads=spec.threads, inter_threads=1
    )
    pooled = ends_pooled(spec)

    def run_of(length: int) -> Run:
        ids = inputs_of_length(spec.inputs, length, spec.batch)["input_ids"].tolist()

        def run() -> np.ndarray:
            states = np.asarray(encoder.forward_batch(ids).last_hidden_state)
            return states.mean(axis=1) if pooled else states

        return run

    runs = {length: run_of(length) for length in spec.lengths}
    return Loaded(runs, {"ctranslate2": version("ctranslate2"), "compute_type": encoder.compute_type}, np.asarray)


if __name__ == "__main__":
    serve(load)
