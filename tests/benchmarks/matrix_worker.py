"""A worker whose runtime is NumPy: multiplies a matrix by its token ids."""

import numpy as np
from peer_bench.workers.serve import Loaded, Run, Spec, inputs_of_length, serve


def load(spec: Spec) -> Loaded:
    print("libraries print to stdout as they please")
    if spec.precision == "unknown":
        raise SystemExit("this precision is not supported")

    def run_of(length: int) -> Run:
        ids = inputs_of_length(spec.inputs, length)["input_ids"][0]
        matrix = np.ones((4, length))

        return lambda: matrix @ ids

    return Loaded({length: run_of(length) for length in spec.lengths}, {"numpy": np.__version__}, np.asarray)


if __name__ == "__main__":
    serve(load)
