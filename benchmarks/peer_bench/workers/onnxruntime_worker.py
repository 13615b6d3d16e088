"""ONNX Runtime on its CPU provider."""

from importlib.metadata import version

from .serve import Loaded, Run, Spec, inputs_of_length, serve


def load(spec: Spec) -> Loaded:
    """A session for every length, its shapes known, so that it can fold what follows from them."""
    import numpy as np
    import onnxruntime as ort  # pyright: ignore[reportMissingImports]

    def run_of(length: int) -> Run:
        options = ort.SessionOptions()
        options.intra_op_num_threads = spec.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_free_dimension_override_by_name("batch", spec.batch)
        options.add_free_dimension_override_by_name("length", length)
        # Its threads spin between the operators of a run, as they do by default, but not after it.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = ort.InferenceSession(spec.model, options, providers=["CPUExecutionProvider"])
        feed = inputs_of_length(spec.inputs, length, spec.batch)
        return lambda: session.run(None, feed)[0]

    runs = {length: run_of(length) for length in spec.lengths}
    return Loaded(runs, {"onnxruntime": version("onnxruntime")}, np.asarray)


if __name__ == "__main__":
    serve(load)
