"""Whole models on a real GPU, where the driver finds one: bytes, races, bounds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from intbert.compiler import oracle
from intbert.compiler.artifact import Bucket, read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.profile import ProfileRequest
from intbert.compiler.runtime import load
from intbert.compiler.runtime.driver import FoundGpu, found_gpu
from intbert.compiler.runtime.profiling import profile
from intbert.errors import ArtifactError
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning.boards import Place
from intbert.rpc.tuning.run import tune
from intbert.rpc.tuning.settings import Settings
from intbert.schedules.tuning_log import open_log
from intbert.targets import Target, get_target
from intbert.targets.cuda import ARCHITECTURES
from intbert.targets.features import X86_64, host_arch

from ...models import Size, inputs, tiny_model
from ..test_mixed_lowering import mixed_model


@pytest.fixture(scope="module")
def gpu() -> FoundGpu:
    try:
        return found_gpu("these tests need a GPU")
    except ArtifactError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def target(gpu: FoundGpu) -> Target:
    suitable = [known for known in ARCHITECTURES if known <= gpu.sm]
    if not suitable:
        pytest.skip(f"{gpu} is older than all chips that are known")
    known = get_target("cuda-sm75" if host_arch() == X86_64 else "cuda-sm75-aarch64")
    assert known.cuda is not None
    return replace(known, cuda=replace(known.cuda, sm=max(suitable), driver=gpu.release))


MODELS: dict[str, Callable[[], QuantizedModel]] = {
    "mean-pooling": lambda: tiny_model("Bert", HeadKind.MEAN_POOLING),
    "classification": lambda: tiny_model("Bert", HeadKind.SEQUENCE_CLASSIFICATION),
    "float-dynamic": lambda: mixed_model("Roberta", HeadKind.SEQUENCE_CLASSIFICATION, "dynamic"),
    "float-rounded": lambda: mixed_model("Bert", HeadKind.MEAN_POOLING, "rounded everywhere"),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_the_oracles_bytes(target: Target, make: Callable[[], QuantizedModel], tmp_path: Path):
    quantized = make()
    model = load(compile_model(quantized, target, lengths=[6, 16], batches=[1, 4], output=tmp_path / "artifact"))
    for batch, length in ((1, 6), (4, 16), (5, 9)):
        tokens = inputs(quantized, batch, length, seed=batch)
        expected = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types)
        for _ in range(3):
            result = model.run(tokens.ids, tokens.mask, tokens.types)
            np.testing.assert_array_equal(result, expected)


SANITIZED = """
import sys
import numpy as np
from intbert.compiler.profile import ProfileRequest
from intbert.compiler.runtime import load
from intbert.compiler.runtime.profiling import profile
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning.boards import Place
from intbert.rpc.tuning.run import tune
from intbert.rpc.tuning.settings import Settings
from intbert.schedules.tuning_log import open_log
model, tokens = load(sys.argv[1]), np.load(sys.argv[2])
np.save(sys.argv[3], model.run(tokens["ids"], tokens["mask"], tokens["types"]))
"""
FOUND = 86
"""The sanitizer's exit status when it has found something; the program's own is another."""


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_the_sanitizer_finds_nothing(target: Target, tmp_path: Path, tool: str):
    """Out of bounds, races in shared memory, memory that nobody wrote, barriers that not all reach."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer, of the CUDA toolkit, is not installed")
    quantized = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))
    artifact = compile_model(quantized, target, lengths=[16], batches=[4], output=tmp_path / "artifact")
    tokens = inputs(quantized, 4, 16, seed=4)
    np.savez(tmp_path / "tokens.npz", ids=tokens.ids, mask=tokens.mask, types=tokens.types)
    paths = (str(artifact), str(tmp_path / "tokens.npz"), str(tmp_path / "output.npy"))
    command = (sanitizer, "--tool", tool, "--error-exitcode", str(FOUND), sys.executable, "-c", SANITIZED, *paths)
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    expected = oracle.run(quantized, tokens.ids, tokens.mask, tokens.types)
    np.testing.assert_array_equal(np.load(tmp_path / "output.npy"), expected)


def test_every_kernel_has_a_time(target: Target, tmp_path: Path):
    quantized = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))
    artifact = compile_model(quantized, target, lengths=[16], batches=[4], output=tmp_path / "artifact")
    found = profile(load(artifact), ProfileRequest(length=16, batch=4, runs=3))
    assert sum(operator.calls for operator in found.operators) == len(read_manifest(artifact).strategies)
    assert all(operator.ms > 0 for operator in found.operators)


def test_candidates_are_measured_and_checked(gpu: FoundGpu, target: Target, tmp_path: Path):
    if target.cuda is None or target.cuda.sm != gpu.sm:
        pytest.skip("a chip without a target of its own is not tuned for")
    quantized = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=64, heads=2, intermediate=128))
    settings = Settings(trials=24, threads=target.kernel_threads, round_size=4, repeats=2, least_ms=0.5)
    with open_log(tmp_path / "log.db") as log:
        place = Place(Here(), HERE, wait=0.0)
        tune(quantized, target, [Bucket(16)], log, [place], settings, lambda progress, step: None)
        records = list(log.records())
    assert {record.error for record in records} == {None}
    assert {record.checked_by for record in records} == {"intbert oracle"}
