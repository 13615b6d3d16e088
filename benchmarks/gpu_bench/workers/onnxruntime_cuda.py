"""ONNX Runtime on a GPU: by its CUDA provider, or by TensorRT where the model lies in a folder of that name."""

from importlib.metadata import packages_distributions, version
from pathlib import Path

from peer_bench.workers.serve import Loaded, Run, Spec, inputs_of_length, serve


def load(spec: Spec) -> Loaded:
    """A session for every length. Raises RuntimeError where ONNX Runtime would take another provider in silence."""
    import numpy as np
    import onnxruntime as ort  # pyright: ignore[reportMissingImports]

    tensorrt = Path(spec.model).parent.name == "tensorrt"
    provider = "TensorrtExecutionProvider" if tensorrt else "CUDAExecutionProvider"
    settings = {"trt_fp16_enable": spec.precision == "fp16"} if tensorrt else {"use_tf32": 0}

    def run_of(length: int) -> Run:
        options = ort.SessionOptions()
        options.add_free_dimension_override_by_name("batch", spec.batch)
        options.add_free_dimension_override_by_name("length", length)
        session = ort.InferenceSession(spec.model, options, providers=[(provider, settings)])
        if session.get_providers()[0] != provider:
            raise RuntimeError(f"ONNX Runtime does not load {provider}")
        feed = inputs_of_length(spec.inputs, length, spec.batch)
        return lambda: session.run(None, feed)[0]

    runs = {length: run_of(length) for length in spec.lengths}
    package = packages_distributions()["onnxruntime"][0]
    return Loaded(runs, {package: version(package)}, np.asarray)


if __name__ == "__main__":
    serve(load)
