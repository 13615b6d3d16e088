"""Whole models on a GPU that is this CPU: TVM's CUDA runtime, the artifact's host code and every kernel of it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.artifact import read_manifest
from intbert.compiler.build import compile_model, kernel_source
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.model_files import save
from intbert.compiler.packing import Packing
from intbert.schedules import cuda
from intbert.targets import Target, get_target
from intbert.targets.cuda import STATIC_SHARED_BYTES
from numpy.typing import NDArray

from ...cuda.emulation import build
from ...cuda.fake_gpu import PAGE, FakeGpu, build_driver
from ...models import Size, inputs, tiny_model
from ..low_bits import with_activations, with_linears, with_split
from ..test_mixed_lowering import mixed_model

TARGET = get_target("cuda-sm75")
ROWS, LENGTH = 3, 6
LENGTHS, BATCHES = (LENGTH,), (2,)
RUN = """
import sys
import numpy as np
from intbert.compiler.runtime import load
model, tokens = load(sys.argv[1]), np.load(sys.argv[2])
first = model.run(tokens["ids"], tokens["mask"], tokens["types"])
np.testing.assert_array_equal(model.run(tokens["ids"], tokens["mask"], tokens["types"]), first)
np.save(sys.argv[3], first)
"""
COMPILE = """
import sys
from pathlib import Path
import tvm_ffi
from intbert.compiler.build import compile_model
from intbert.compiler.model_files import load
from intbert.schedules import cuda
from intbert.targets import get_target
import tvm
assert tvm_ffi.get_global_func("ffi.Module.create.cuda", allow_missing=True) is not None, "TVM sees no GPU"
compile_model(load(sys.argv[1]), get_target(sys.argv[2]), lengths=[6], batches=[2], output=Path(sys.argv[3]))
"""


@pytest.fixture(scope="module", autouse=True)
def no_nvcc() -> Iterator[None]:
    """NVRTC compiles, which every user gets from pip: it has fewer headers, so nvcc would hide what is missing."""
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "nvcc").exists()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join(folders))
        yield


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


@dataclass(frozen=True)
class Compiled:
    """A model compiled for :data:`TARGET`, and its kernels for the fake GPU."""

    artifact: Path
    kernels: Path


def compiled(
    model: QuantizedModel, folder: Path, target: Target = TARGET, batches: Sequence[int] = BATCHES
) -> Compiled:
    artifact = compile_model(model, target, lengths=LENGTHS, batches=batches, output=folder / "artifact")
    return Compiled(artifact, build(kernel_source(model, target, lengths=LENGTHS, batches=batches), folder))


def run(model: QuantizedModel, each: Compiled, gpu: FakeGpu, folder: Path) -> NDArray[np.generic]:
    tokens = inputs(model, ROWS, LENGTH, seed=7)
    np.savez(folder / "tokens.npz", ids=tokens.ids, mask=tokens.mask, types=tokens.types)
    arguments = (str(each.artifact), str(folder / "tokens.npz"), str(folder / "output.npy"))
    gpu.run(RUN, *arguments, kernels=each.kernels)
    return np.load(folder / "output.npy")


def packed() -> QuantizedModel:
    """Weights of 4 bits, and one whose split channels are added to them."""
    model = with_linears(tiny_model("Bert", HeadKind.MEAN_POOLING), Packing(4))
    return with_split(model, "layers.0.intermediate", [3, 17])


MODELS: dict[str, Callable[[], QuantizedModel]] = {
    "mean-pooling": lambda: tiny_model("Bert", HeadKind.MEAN_POOLING),
    "classification": lambda: tiny_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION),
    "masked-lm": lambda: tiny_model("Roberta", HeadKind.MASKED_LM),
    "tokens-relu": lambda: tiny_model("DistilBert", HeadKind.TOKEN_CLASSIFICATION, relu=True),
    "packed-and-split": packed,
    "float-static": lambda: mixed_model("Bert", HeadKind.MEAN_POOLING, "static"),
    "float-dynamic": lambda: mixed_model("Roberta", HeadKind.SEQUENCE_CLASSIFICATION, "dynamic"),
    "float-rounded": lambda: mixed_model("Bert", HeadKind.NONE, "rounded everywhere"),
}


@pytest.fixture
def plain_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves every operator its last strategy, the one that refuses nothing: others have tests of their own."""
    for name in [name for name in vars(cuda) if name.endswith("_STRATEGIES")]:
        strategies = getattr(cuda, name)
        last = {k: v[-1:] for k, v in strategies.items()} if isinstance(strategies, Mapping) else strategies[-1:]
        monkeypatch.setattr(cuda, name, last)


@pytest.mark.usefixtures("plain_only")
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_oracles_bytes(make: Callable[[], QuantizedModel], driver: Path, tmp_path: Path):
    assert_oracles_bytes(make(), driver, tmp_path)


@pytest.mark.parametrize("target", [TARGET.name, "cuda-sm86"])
def test_a_real_model(minilm: QuantizedModel, driver: Path, tmp_path: Path, target: str):
    """all-MiniLM-L6-v2 with the strategies that a user gets: the tiny models' channels do not fit tensor cores."""
    assert_oracles_bytes(minilm, driver, tmp_path, get_target(target))


def few_bits(weights: Packing, activations: int) -> QuantizedModel:
    """Wide enough for tensor cores."""
    model = with_linears(tiny_model("Bert", HeadKind.MEAN_POOLING, Size(128, heads=2, intermediate=256)), weights)
    names = ("embeddings.output", "_hidden", "context", "activation_output")
    return model if activations == 8 else with_activations(model, dict.fromkeys(names, (activations, 0, True)))


@pytest.mark.parametrize(
    ("weights", "activations", "sm", "strategy"),
    [
        (Packing(4), 8, 86, "unpack_mma_k32"),
        (Packing(4), 4, 86, "mma_s4_k64"),
        (Packing(1, mid_rise=True), 2, 86, "mma_b1_m16_few"),
        (Packing(3), 8, 75, "unpack_mma_k16"),
        (Packing(4), 8, 72, "unpack_wmma"),
    ],
    ids=["w4a8", "w4a4", "w1a2", "w3a8-sm75", "w4a8-sm72"],
)
def test_few_bits(weights: Packing, activations: int, sm: int, strategy: str, driver: Path, tmp_path: Path):
    assert TARGET.cuda is not None
    target = replace(TARGET, cuda=replace(TARGET.cuda, sm=sm))
    assert_oracles_bytes(few_bits(weights, activations), driver, tmp_path, target)
    strategies = read_manifest(tmp_path / "artifact").strategies
    assert {s.strategy for s in strategies if s.operator.endswith((".intermediate", ".output"))} == {strategy}
    assert "plain" not in {s.strategy for s in strategies}


def test_shared_memory_that_a_launch_asks_for(driver: Path, tmp_path: Path):
    """One multiprocessor gets large tiles, whose stages are more than a kernel may declare."""
    assert TARGET.cuda is not None
    target = replace(TARGET, cuda=replace(TARGET.cuda, sm=87, multiprocessors=1))
    model = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=96, heads=3, intermediate=192))
    assert_oracles_bytes(model, driver, tmp_path, target, batches=(8,))
    record = read_manifest(tmp_path / "artifact").cuda
    assert record is not None
    of_linears = [kernel.shared_bytes for kernel in record.kernels if kernel.name.startswith("linear")]
    assert min(of_linears) > STATIC_SHARED_BYTES


def assert_oracles_bytes(
    model: QuantizedModel, driver: Path, tmp_path: Path, target: Target = TARGET, batches: Sequence[int] = BATCHES
) -> None:
    each = compiled(model, tmp_path, target, batches)
    tokens = inputs(model, ROWS, LENGTH, seed=7)
    expected = oracle.run(model, tokens.ids, tokens.mask, tokens.types)
    result = run(model, each, FakeGpu(driver), tmp_path)
    assert result.shape == expected.shape
    counts = tokens.mask == 1 if expected.ndim == 3 else np.ones(ROWS, bool)
    stored = expected.astype(result.dtype)
    assert np.array_equal(stored, expected), "the output's type does not hold the oracle's values"
    assert result[counts].tobytes() == stored[counts].tobytes()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> tuple[QuantizedModel, Compiled]:
    model = tiny_model("Bert", HeadKind.MEAN_POOLING)
    return model, compiled(model, tmp_path_factory.mktemp("bert"))


def test_every_kernel_is_in_the_source_and_in_the_record(bert: tuple[QuantizedModel, Compiled]):
    model, each = bert
    record = read_manifest(each.artifact).cuda
    assert record is not None
    source = kernel_source(model, TARGET, lengths=LENGTHS, batches=BATCHES)
    for kernel in record.kernels:
        assert f" {kernel.name}(" in source


@pytest.mark.parametrize(("pages", "what"), [(-1, r"0\.0 MB more"), (0, "an inference")], ids=["weights", "call"])
def test_memory_that_runs_out_is_told(
    bert: tuple[QuantizedModel, Compiled], driver: Path, tmp_path: Path, pages: int, what: str
):
    """``pages``: what the device has beside the weights and the three inputs."""
    model, each = bert
    sizes = [math.prod(w.shape) * np.dtype(w.dtype).itemsize for w in read_manifest(each.artifact).weights]
    memory = PAGE * (sum(-(-size // PAGE) for size in sizes) + 3 + pages)
    with pytest.raises(AssertionError, match=rf"ArtifactError: the device has no memory for {what} .*out of memory"):
        run(model, each, FakeGpu(driver, memory=memory), tmp_path)


def test_an_inference_is_a_graph_and_its_last_kernel(bert: tuple[QuantizedModel, Compiled], driver: Path):
    """The first one launches every kernel, to warm up."""
    _, each = bert
    script = """
import sys
import ctypes
import numpy as np
from intbert.compiler.runtime import load
model, driver = load(sys.argv[1]), ctypes.CDLL("libcuda.so.1")
for _ in range(3):
    model.run(np.ones((2, 6), np.int32))
    print(driver.cuFakeGraphLaunches(), driver.cuFakeKernelLaunches())
"""
    printed = FakeGpu(driver).run(script, str(each.artifact), kernels=each.kernels)
    kernels = len(read_manifest(each.artifact).strategies)
    assert printed.split("\n")[:3] == [f"{run} {kernels + run}" for run in range(3)]


def test_a_profile_has_every_operator(bert: tuple[QuantizedModel, Compiled], driver: Path):
    _, each = bert
    script = """
import sys
from intbert.compiler.profile import ProfileRequest
from intbert.compiler.runtime import load
from intbert.compiler.runtime.profiling import profile
found = profile(load(sys.argv[1]), ProfileRequest(length=6, batch=2, runs=2))
print(sum(operator.calls for operator in found.operators), len({operator.name for operator in found.operators}))
"""
    printed = FakeGpu(driver).run(script, str(each.artifact), kernels=each.kernels)
    operators = len(read_manifest(each.artifact).strategies)
    assert printed.split() == [str(operators), str(operators)]


def test_an_older_gpu_is_told(bert: tuple[QuantizedModel, Compiled], driver: Path, tmp_path: Path):
    model, each = bert
    with pytest.raises(AssertionError, match=r"ArtifactError: .* capability 7\.5 or later, this machine's has 7\.2"):
        run(model, each, FakeGpu(driver, sm=72), tmp_path)


def test_a_machine_with_a_gpu_compiles_the_same_bytes(
    bert: tuple[QuantizedModel, Compiled], driver: Path, tmp_path: Path
):
    """Where TVM finds a GPU it would compile the kernels itself, for that one."""
    model, each = bert
    (tmp_path / "model").mkdir()
    save(model, tmp_path / "model")
    output = tmp_path / "artifact"
    FakeGpu(driver).run(COMPILE, str(tmp_path / "model"), TARGET.name, str(output), kernels=each.kernels)
    assert (output / "model.so").read_bytes() == (each.artifact / "model.so").read_bytes()
