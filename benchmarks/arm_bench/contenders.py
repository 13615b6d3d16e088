"""Who is counted: this project at every precision, and the peers that publish an aarch64 wheel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peer_bench.contenders import Contender, at_precision, contender
from peer_bench.precisions import PRECISIONS
from peer_bench.ratios import OURS

LEFT_OUT: Mapping[str, str] = {
    "llama.cpp": "llama-cpp-python has no wheel for aarch64 on PyPI, and other builds of it no stable Python API",
}
"""Runtimes that one would expect, and why they are not there."""


@dataclass(frozen=True)
class Peer:
    """A contender with the packages that it needs on the board, by the names in the requirements."""

    contender: Contender
    packages: Sequence[str]


_ONNX = ("onnxruntime", "flatbuffers", "protobuf", "packaging", "sympy", "mpmath")

PEERS: Sequence[Peer] = (
    Peer(contender("onnxruntime", "fp32"), _ONNX),
    Peer(contender("onnxruntime", "int8"), _ONNX),
    Peer(contender("onnxruntime-unfused", "int8"), _ONNX),
    Peer(contender("ctranslate2", "int8"), ("ctranslate2", "PyYAML")),
    Peer(contender("openvino", "int8"), ("openvino", "openvino-telemetry", "packaging")),
)

RUNTIMES = tuple(dict.fromkeys([OURS, *(peer.contender.runtime for peer in PEERS)]))


def ours(precision: str) -> Contender:
    """This project at a precision of :data:`PRECISIONS`."""
    return at_precision(OURS, PRECISIONS[precision].name)
