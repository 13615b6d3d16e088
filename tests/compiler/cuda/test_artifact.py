"""Artifacts for a GPU: compiled with none, refused in words where there is none."""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile
from intbert.compiler import artifact as artifacts
from intbert.compiler import build
from intbert.compiler.artifact import CudaRecord, read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.inspection import inspect
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.runtime import driver, load
from intbert.errors import ArtifactError, TargetError, ToolchainError
from intbert.targets import get_target
from intbert.targets.cuda import Cuda

from ...cuda.fatbin import MACHINE_CODE, MAGIC, PTX, entries_of
from ...models import tiny_model

FATBIN = struct.pack("<I", MAGIC)
MACHINES = {"jetson-orin": "EM_AARCH64", "jetson-xavier": "EM_AARCH64", "cuda-sm75": "EM_X86_64"}
OPERATORS = ("attention", "embedding", "layer_norm", "linear", "mean_pooling")


@pytest.fixture(scope="module")
def bert() -> QuantizedModel:
    return tiny_model("Bert", HeadKind.MEAN_POOLING)


@pytest.fixture(scope="module", params=MACHINES)
def compiled(request: pytest.FixtureRequest, bert: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp(request.param) / "artifact"
    return compile_model(bert, get_target(request.param), lengths=[5], batches=[2], output=output)


def test_the_library_holds_machine_code_and_no_source(compiled: Path):
    library = compiled / artifacts.LIBRARY_FILE
    content = library.read_bytes()
    assert content.count(FATBIN) == 1
    assert b"__global__" not in content
    kinds = [(each.kind, f"sm_{each.chip}") for each in entries_of(content[content.index(FATBIN) :])]
    manifest = read_manifest(compiled)
    chip = get_target(manifest.target.name).tvm().attrs["arch"]
    assert kinds == [(MACHINE_CODE, chip), (PTX, chip)]
    with library.open("rb") as file:
        assert ELFFile(file).header["e_machine"] == MACHINES[manifest.target.name]


def test_the_manifest_says_what_each_kernel_needs(compiled: Path):
    manifest = read_manifest(compiled)
    record = manifest.cuda
    assert record is not None
    assert f"sm_{record.sm}" == get_target(manifest.target.name).tvm().attrs["arch"]
    assert record.release[0] == 12, "the most drivers load what CUDA 12 compiles"
    for operator in OPERATORS:
        found = [kernel for kernel in record.kernels if kernel.name.startswith(operator)]
        assert found, operator
        assert all(k.threads % 32 == 0 and k.registers > 0 and 0 < k.occupancy <= 1 for k in found)
    assert {kernel.local_bytes for kernel in record.kernels} == {0}, "registers are spilled"
    assert inspect(compiled)["cuda"] == json.loads(json.dumps(manifest.to_document()["cuda"]))


def test_equal_models_give_equal_artifacts(compiled: Path, bert: QuantizedModel, tmp_path: Path):
    name = read_manifest(compiled).target.name
    again = compile_model(bert, get_target(name), lengths=[5], batches=[2], output=tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in compiled.iterdir()
    }


def test_an_artifact_for_a_cpu_says_nothing_of_gpus(toy: Path):
    assert "cuda" not in json.loads((toy / artifacts.MANIFEST_FILE).read_text())
    assert read_manifest(toy).cuda is None
    assert "cuda" not in inspect(toy)


def test_no_compiler_is_found_out_first(bert: QuantizedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def none(gpu: Cuda) -> Any:
        raise ToolchainError(f"no CUDA compiler for {gpu.name}")

    monkeypatch.setattr(build, "compiler_for", none)
    monkeypatch.setattr(build, "lower", lambda model: pytest.fail("it was lowered all the same"))
    with pytest.raises(ToolchainError, match="no CUDA compiler for sm_87"):
        compile_model(bert, get_target("jetson-orin"), output=tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()


def test_a_chip_that_no_compiler_knows(bert: QuantizedModel, tmp_path: Path):
    target = get_target("jetson-orin")
    with pytest.raises(TargetError, match="known here"):
        compile_model(bert, replace(target, cuda=Cuda(88, 1, 1, 1.0)), output=tmp_path / "artifact")


@dataclass
class FakeDriver:
    """The functions of libcuda.so.1 that are asked; each returns a status and sets what it is pointed to."""

    sm: int = 87
    version: int = 13_000
    devices: int = 1
    status: int = 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        return _set(count, self.devices)

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        return _set(version, self.version)

    def cuDeviceGetName(self, name: Any, size: int, device: int) -> int:  # noqa: N802
        name.value = b"Orin"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> int:  # noqa: N802
        return _set(value, {75: self.sm // 10, 76: self.sm % 10}[attribute])


def _set(pointer: Any, value: int) -> int:
    ctypes.cast(pointer, ctypes.POINTER(ctypes.c_int))[0] = value
    return 0


@pytest.fixture
def with_driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeDriver], None]:
    def use(fake: FakeDriver) -> None:
        monkeypatch.setattr(driver.ctypes, "CDLL", lambda name, *mode: fake)

    return use


RECORD = CudaRecord(87, "NVRTC 13.1", (13, 1), ())


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        pytest.param(FakeDriver(status=100), "driver finds none; check that `nvidia-smi`", id="no-device"),
        pytest.param(FakeDriver(devices=0), "driver finds none; check that `nvidia-smi`", id="empty"),
        pytest.param(FakeDriver(status=999), r"does not start \(error 999 of cuInit\)", id="broken-driver"),
        pytest.param(
            FakeDriver(version=12_060), r"by NVRTC 13\.1; .*CUDA 12\.6 only: .*--driver 12\.6, update", id="old-driver"
        ),
        pytest.param(FakeDriver(sm=75), r"capability 8\.7 or later, this machine's has 7\.5", id="older-gpu"),
        pytest.param(
            FakeDriver(sm=110),
            r"11\.0, its driver would have to compile PTX of CUDA 13\.1.*knows CUDA 13\.0",
            id="later-ptx",
        ),
    ],
)
def test_what_a_machine_lacks_is_told(with_driver: Callable[[FakeDriver], None], fake: FakeDriver, message: str):
    with_driver(fake)
    with pytest.raises(ArtifactError, match=message) as raised:
        driver.check_gpu(RECORD, "jetson-orin")
    assert "the artifact for jetson-orin runs on a GPU" in str(raised.value)
    assert "compile for the CPU alone" in str(raised.value)


@pytest.mark.parametrize(
    "fake",
    [FakeDriver(), FakeDriver(version=13_020), FakeDriver(sm=110, version=13_010)],
    ids=["older-minor-release", "newer-driver", "newer-gpu"],
)
def test_what_suits_passes(with_driver: Callable[[FakeDriver], None], fake: FakeDriver):
    with_driver(fake)
    driver.check_gpu(RECORD, "jetson-orin")


def test_the_gpu_that_is_found(with_driver: Callable[[FakeDriver], None]):
    with_driver(FakeDriver(version=13_020))
    assert driver.found_gpu("a test needs a GPU") == driver.FoundGpu("Orin", 87, (13, 2))


def test_loading_without_a_driver_says_so(bert: QuantizedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(driver, "DRIVER", "libcuda-that-nobody-has.so.1")
    compiled = compile_model(bert, get_target("cuda-sm75"), lengths=[5], output=tmp_path / "artifact")
    with pytest.raises(ArtifactError, match=r"has no NVIDIA driver .*; install it .*or compile for the CPU alone"):
        load(compiled)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("libcudart-nobodys.so.13: cannot open", "pip install nvidia-cuda-runtime`, on a Jetson install JetPack 7"),
        ("libcuda.so.1: cannot open", r"libtvm_runtime_cuda\.so cannot be loaded \(libcuda.*see docs/jetson\.md"),
    ],
    ids=["no-cuda-runtime", "another-library"],
)
def test_without_what_tvm_needs_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch, words: str, message: str):
    def refuse(name: str, *mode: int) -> Any:
        raise OSError(words)

    driver.tvm_runtime()
    monkeypatch.setattr(driver, "CUDA_RUNTIME", "libcudart-nobodys.so.13")
    monkeypatch.setattr(driver.ctypes, "CDLL", refuse)
    with pytest.raises(ToolchainError, match=message):
        driver.load_cuda_runtime()


def test_a_wheel_without_tvms_cuda_library_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(driver, "TVM_CUDA", "libtvm_of_nobody.so")
    with pytest.raises(ToolchainError, match=r"libtvm_of_nobody\.so is missing; run `pip install apache-tvm`"):
        driver.load_cuda_runtime()
