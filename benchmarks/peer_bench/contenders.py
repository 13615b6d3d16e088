"""Who takes part: every runtime with its precisions, and the worker module that runs it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from .machine import has_bf16
from .ratios import OURS


@dataclass(frozen=True)
class Contender:
    """A runtime at one precision. ``module`` is its worker, ``model_file`` what it loads; empty: the whole folder."""

    runtime: str
    precision: str
    module: str
    model_file: str

    @property
    def name(self) -> str:
        return f"{self.runtime}-{self.precision}"

    @property
    def is_peer(self) -> bool:
        """Runs in the peers' venv on the files of ``prepare``; else in this project's, on an artifact."""
        return self.runtime != OURS


_ONNX = "peer_bench.workers.onnxruntime_worker"
_OPENVINO = "peer_bench.workers.openvino_worker"
_CTRANSLATE2 = "peer_bench.workers.ctranslate2_worker"
_TORCH = "peer_bench.workers.torch_worker"

# "onnxruntime" runs the graph that onnxruntime.transformers.optimizer fused (one operator for a layer's
# attention), "onnxruntime-unfused" the exported one, which the session optimizes by itself. Which of them is
# faster depends on the version.
CONTENDERS: Sequence[Contender] = (
    Contender(OURS, "int8", "peer_bench.workers.intbert_worker", ""),
    Contender("onnxruntime", "fp32", _ONNX, "fused.onnx"),
    Contender("onnxruntime-unfused", "fp32", _ONNX, "exported.onnx"),
    Contender("onnxruntime", "int8", _ONNX, "fused-int8.onnx"),
    Contender("onnxruntime-unfused", "int8", _ONNX, "exported-int8.onnx"),
    Contender("openvino", "fp32", _OPENVINO, "openvino.xml"),
    Contender("openvino", "bf16", _OPENVINO, "openvino.xml"),
    Contender("openvino", "int8", _OPENVINO, "openvino-int8.xml"),
    Contender("ctranslate2", "int8", _CTRANSLATE2, ""),
    Contender("torch", "fp32", _TORCH, ""),
    Contender("torch", "int8", _TORCH, ""),
)

RUNTIMES = tuple(dict.fromkeys(contender.runtime for contender in CONTENDERS))


def contenders(runtimes: Collection[str], features: Collection[str]) -> list[Contender]:
    """Those of the given runtimes that this CPU can run at full speed: bf16 only where it is in hardware."""
    return [
        contender
        for contender in CONTENDERS
        if contender.runtime in runtimes and (contender.precision != "bf16" or has_bf16(features))
    ]


def at_precision(runtime: str, precision: str) -> Contender:
    """The contender of a runtime whose precision lies in its model alone, as this project's does."""
    return replace(next(each for each in CONTENDERS if each.runtime == runtime), precision=precision)


def contender(runtime: str, precision: str) -> Contender:
    """The contender of this runtime and precision; KeyError when there is none."""
    return {(each.runtime, each.precision): each for each in CONTENDERS}[runtime, precision]
