"""Who takes part on a GPU: this project, and what this environment has that runs there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib.util import find_spec

from peer_bench.contenders import Contender
from peer_bench.ratios import OURS

_TORCH = "gpu_bench.workers.torch_cuda"
_ONNX = "gpu_bench.workers.onnxruntime_cuda"
TENSORRT, ONNXRUNTIME, TORCH = "tensorrt", "onnxruntime-cuda", "torch-cuda"

OUR_CONTENDER = Contender(OURS, "W8A8", "peer_bench.workers.intbert_worker", "")
PEERS: Sequence[Contender] = (
    Contender(TENSORRT, "fp16", _ONNX, "exported.onnx"),
    Contender(TENSORRT, "fp32", _ONNX, "exported.onnx"),
    Contender(ONNXRUNTIME, "fp32", _ONNX, "exported.onnx"),
    Contender(TORCH, "fp16", _TORCH, ""),
    Contender(TORCH, "fp32", _TORCH, ""),
)
"""TensorRT by its provider in ONNX Runtime."""


def available_runtimes() -> frozenset[str]:
    """The peers' runtimes that this environment has and that find the card."""
    found = set()
    if find_spec("onnxruntime") is not None:
        import onnxruntime

        providers = onnxruntime.get_available_providers()
        names = {"TensorrtExecutionProvider": TENSORRT, "CUDAExecutionProvider": ONNXRUNTIME}
        found |= {names[provider] for provider in providers if provider in names}
    if find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            found.add(TORCH)
    return frozenset(found)


def peers_of(runtimes: Collection[str]) -> list[Contender]:
    """The peers of these runtimes."""
    return [peer for peer in PEERS if peer.runtime in runtimes]
