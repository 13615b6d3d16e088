"""OpenVINO on its CPU plugin."""

from importlib.metadata import version

from .serve import Loaded, Run, Spec, inputs_of_length, serve

# Without the hint "fp32" would quietly be bf16 on a CPU that has it. What stays float in the int8 model may
# be bf16, the default: that is the faster peer. (On a CPU with AMX, version 2026.4.1 then computes something
# else at a length of exactly 32 tokens: the row's cosine shows it.)
PRECISION_HINTS = {
    "fp32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {},
}


def load(spec: Spec) -> Loaded:
    """One compiled model for every length, of static shape."""
    import numpy as np
    import openvino as ov  # pyright: ignore[reportMissingImports]

    core = ov.Core()
    settings = {
        "INFERENCE_NUM_THREADS": spec.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        **PRECISION_HINTS[spec.precision],
    }
    used = {}

    def run_of(length: int) -> Run:
        model = core.read_model(spec.model)
        feed = inputs_of_length(spec.inputs, length, spec.batch)
        model.reshape({name: list(array.shape) for name, array in feed.items()})
        compiled = core.compile_model(model, "CPU", settings)
        used["openvino_inference_precision"] = str(compiled.get_property("INFERENCE_PRECISION_HINT"))
        request = compiled.create_infer_request()
        return lambda: request.infer(feed, share_inputs=True, share_outputs=True)[0]

    runs = {length: run_of(length) for length in spec.lengths}
    return Loaded(runs, {"openvino": version("openvino"), **used}, np.asarray)


if __name__ == "__main__":
    serve(load)
