"""Machine code in place of CUDA source, in the form in which TVM packs what a library imports."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import tvm
from intbert.compiler.cuda.imports import cuda_source, with_fatbin
from intbert.errors import ToolchainError
from intbert.targets import get_target
from tvm.runtime import _ffi_api
from tvm.script import tirx as T

FATBIN = bytes(range(256)) * 3


@T.prim_func(s_tir=True)
def add_one(a: T.handle, b: T.handle) -> None:
    A = T.match_buffer(a, (64,), "int32")
    B = T.match_buffer(b, (64,), "int32")
    for i in T.thread_binding(64, "threadIdx.x"):
        with T.sblock("add"):
            v = T.axis.spatial(64, i)
            B[v] = A[v] + 1


@pytest.fixture(scope="module")
def module() -> Any:
    return tvm.tirx.build(tvm.IRModule({"add_one": add_one}), target=get_target("jetson-orin").tvm())


@pytest.fixture(scope="module")
def blob(module: Any) -> bytes:
    return _ffi_api.ModulePackImportsToTensor(module).numpy().tobytes()


def test_source_is_found(module: Any):
    assert "__global__" in cuda_source(module)


def test_no_source_is_told():
    target = get_target("host").tvm()
    module = tvm.tirx.build(tvm.IRModule({"nothing": without_threads}), target=target)
    with pytest.raises(ToolchainError, match="TVM has made no CUDA code"):
        cuda_source(module)


@T.prim_func(s_tir=True)
def without_threads(a: T.handle) -> None:
    A = T.match_buffer(a, (4,), "int32")
    for i in range(4):
        with T.sblock("set"):
            v = T.axis.spatial(4, i)
            A[v] = 1


def test_only_the_code_and_its_format_are_replaced(module: Any, blob: bytes):
    source = cuda_source(module)
    replaced = with_fatbin(blob, source, FATBIN)
    (size,) = struct.unpack_from("<Q", replaced)
    assert size == len(replaced) - 8
    assert source.encode() not in replaced
    assert replaced.endswith(struct.pack("<Q", len(FATBIN)) + FATBIN)
    # The kernels' signatures are what they were; putting the source back restores every byte.
    assert with_source(replaced, source) == blob


def with_source(blob: bytes, source: str) -> bytes:
    """The inverse: the format ``fatbin`` is two bytes longer than ``cuda``."""
    old, new = struct.pack("<Q", 6) + b"fatbin", struct.pack("<Q", 4) + b"cuda"
    assert blob.count(old) == 1
    start = blob.index(old)
    code = struct.pack("<Q", len(source)) + source.encode()
    inner = new + blob[start + len(old) : -len(FATBIN) - 8] + code
    whole = blob[8 : start - 8] + struct.pack("<Q", len(inner)) + inner
    return struct.pack("<Q", len(whole)) + whole


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda blob: blob[:-1], id="cut-off"),
        pytest.param(lambda blob: blob + b"\0", id="more-behind"),
        pytest.param(lambda blob: b"", id="empty"),
        pytest.param(lambda blob: blob[:4], id="no-size"),
        pytest.param(lambda blob: blob.replace(b"+ 1)", b"+ 2)"), id="another-source"),
        pytest.param(lambda blob: blob.replace(b"\x04\0\0\0\0\0\0\0cuda", b"\x04\0\0\0\0\0\0\0rocm", 1), id="no-cuda"),
        pytest.param(lambda blob: blob[:8] + b"\xff" * 8 + blob[16:], id="absurd-count"),
    ],
)
def test_another_form_is_told(module: Any, blob: bytes, damage: Any):
    with pytest.raises(ToolchainError, match="in a form that is not known here"):
        with_fatbin(damage(blob), cuda_source(module), FATBIN)
