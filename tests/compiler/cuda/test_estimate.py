"""Estimates of kernels: cases worked out by hand, and a model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from intbert.compiler.artifact import CudaRecord, GpuKernel, Manifest, StrategyRecord, read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.cuda.estimate import ModelEstimate, across_layers, estimate
from intbert.compiler.cuda.estimating import estimate_at
from intbert.compiler.cuda.sass import disassemblers
from intbert.compiler.cuda.warp_work import WarpWork, Work
from intbert.compiler.model import HeadKind
from intbert.compiler.model_files import save
from intbert.errors import ArtifactError, InputError, TargetError
from intbert.targets import get_target
from intbert.targets.cuda import Cuda
from intbert.targets.cuda_rates import Multiplier

from ...models import Size, tiny_model
from ..test_mixed_lowering import mixed_model

ORIN = Cuda(87, 8, 1000, 100.0)
"""Round numbers: 2048 int8 multiply-adds a cycle on each of 8 multiprocessors are 16384 a nanosecond."""
MILLION = 1_000_000


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("orin") / "artifact"
    model = tiny_model("Bert", HeadKind.MEAN_POOLING)
    return compile_model(model, get_target("jetson-orin"), lengths=[6, 16], batches=[2], output=output)


def one_kernel(
    artifact: Path,
    macs: int,
    size: int,
    work: WarpWork | None = None,
    activation_bits: int | None = None,
    **kernel: object,
) -> ModelEstimate:
    """The estimate of an operator called twice, whose kernel is as ``kernel`` says and issues ``work``."""
    manifest = read_manifest(artifact)
    bucket = manifest.buckets[0]
    values: dict[str, object] = {
        "registers": 128, "local_bytes": 0, "shared_bytes": 0, "threads": 128, "occupancy": 1 / 3, "blocks": 32,
        "multiplier": "imma",
    }  # fmt: skip
    gpu_kernel = GpuKernel("linear_kernel", **{**values, **kernel})  # type: ignore[arg-type]
    records = tuple(
        StrategyRecord(
            f"{bucket.function}/layers.{layer}.output",
            "mma",
            macs=macs,
            bytes=size,
            function="linear",
            activation_bits=activation_bits,
        )
        for layer in range(2)
    )
    cuda = CudaRecord(87, "NVRTC 13.0", (13, 0), (gpu_kernel,))
    return estimate(
        replace(manifest, strategies=records, cuda=cuda),
        ORIN,
        [bucket],
        {} if work is None else {"linear_kernel": work},
    )


def test_multiply_adds_bound_a_kernel(artifact: Path):
    """4 blocks of 128 threads with 128 registers fit, 32 are a wave; 16384 million multiply-adds take 1 ms."""
    found = one_kernel(artifact, 16384 * MILLION, 10 * MILLION)
    first, second = found.kernels
    assert (first.resident_blocks, first.waves, first.bound) == (4, 1.0, "compute")
    assert (first.compute_ms, first.memory_ms, first.ms) == pytest.approx((1.0, 0.1, 1.0))
    assert first.intensity == pytest.approx(1638.4)
    assert found.share_of_peak(first.macs, first.ms) == pytest.approx(1.0)
    assert (second.operator, found.ms, found.macs) == ("layers.1.output", 2.0, 2 * 16384 * MILLION)


def test_bytes_bound_a_kernel(artifact: Path):
    found = one_kernel(artifact, 16384 * MILLION, 200 * MILLION)
    assert (found.kernels[0].bound, found.kernels[0].ms) == ("memory", pytest.approx(2.0))
    assert found.share_of_peak(found.macs, found.ms) == pytest.approx(0.5)


@pytest.mark.parametrize(("blocks", "ms"), [(8, 1.0), (9, 16 / 9), (16, 1.0), (7, 8 / 7), (1, 8.0)])
def test_the_busiest_multiprocessor_counts(artifact: Path, blocks: int, ms: float):
    found = one_kernel(artifact, 16384 * MILLION, 1, blocks=blocks)
    assert found.kernels[0].ms == pytest.approx(ms)
    assert found.kernels[0].waves == blocks / 32


@pytest.mark.parametrize(
    ("multiplier", "slower"), [("imma", 1), ("imma_s4", 0.5), ("dp4a", 8), ("int32", 32), ("float32", 32)]
)
def test_the_rate_is_that_of_what_multiplies(artifact: Path, multiplier: str, slower: float):
    found = one_kernel(artifact, 16384 * MILLION, 1, multiplier=multiplier)
    assert found.kernels[0].ms == pytest.approx(slower)
    assert found.share_of_peak(found.macs, found.ms) == pytest.approx(1 / slower)


@pytest.mark.parametrize(
    ("instructions", "shared_cycles", "bound", "ms"),
    [(8, 0, "compute", 1.0), (80, 4, "issue", 1.25), (8, 32, "shared", 2.0)],
    ids=["multiplies", "issues", "waits-for-shared-memory"],
)
def test_what_a_warp_issues(artifact: Path, instructions: int, shared_cycles: int, bound: str, ms: float):
    """A trip of the loop is 32768 multiply-adds: 16 cycles of a multiprocessor, in which it issues 64 instructions."""
    loop = Work(32768, instructions, shared_cycles)
    found = one_kernel(artifact, 16384 * MILLION, 1, WarpWork(loop, Work(0, 0, 0), 0.5))
    kernel = found.kernels[0]
    assert (kernel.bound, kernel.ms, kernel.multiply_share) == (bound, pytest.approx(ms), 0.5)
    assert kernel.issue_ms == pytest.approx(instructions / 64)
    (both,) = across_layers(found.kernels)
    assert both.issue_ms == pytest.approx(2 * instructions / 64)


def test_an_epilogue_is_issued_once(artifact: Path):
    """By each of 128 warps, 16 of a multiprocessor."""
    found = one_kernel(artifact, 16384 * MILLION, 1, WarpWork(Work(32768, 64, 0), Work(0, 250_000, 0), 0.5))
    assert found.kernels[0].issue_ms == pytest.approx(1.0 + 16 * 250_000 / 4 / 1e6)


@pytest.mark.parametrize(("activation_bits", "ms"), [(None, 1.0), (8, 1.0), (2, 0.25), (1, 0.125)])
def test_single_bits_take_a_product_each(artifact: Path, activation_bits: int | None, ms: float):
    """Eight times the rate of bytes, for each bit of an activation: eight where the artifact does not say."""
    found = one_kernel(artifact, 16384 * MILLION, 1, multiplier="bmma", activation_bits=activation_bits)
    assert found.kernels[0].ms == pytest.approx(ms)


def test_a_models_code_is_read(tmp_path: Path):
    if not any(disassemblers()):
        pytest.skip("nvdisasm is not installed")
    model = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=512, heads=8, intermediate=512))
    output = compile_model(model, get_target("jetson-orin"), lengths=[16], output=tmp_path / "artifact")
    found = {kernel.operator: kernel for kernel in estimate_at(output, None).kernels}
    linear = found["layers.0.intermediate"]
    assert linear.multiplier is Multiplier.IMMA
    assert linear.multiply_share is not None
    assert 0 < linear.multiply_share < 1
    assert min(linear.limits[name] for name in ("memory", "compute", "issue", "shared")) > 0
    assert found["embeddings"].multiply_share is None


def test_without_a_disassembler_there_are_fewer_limits(artifact: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("intbert.compiler.cuda.sass.disassemblers", lambda: iter(()))
    assert {kernel.issue_ms for kernel in estimate_at(artifact, None).kernels} == {None}


def test_layers_are_added_up(artifact: Path):
    (kernel,) = across_layers(one_kernel(artifact, 16384 * MILLION, 10 * MILLION).kernels)
    assert (kernel.operator, kernel.calls, kernel.bytes) == ("layers.*.output", 2, 20 * MILLION)
    assert (kernel.compute_ms, kernel.memory_ms, kernel.waves) == pytest.approx((2.0, 0.2, 1.0))


def test_every_operator_of_a_model_has_its_kernel(artifact: Path):
    manifest = read_manifest(artifact)
    found = estimate_at(artifact, None, 10, 2)
    (bucket,) = found.buckets
    assert (bucket.length, bucket.batch) == (16, 2)
    records = [record for record in manifest.strategies if record.operator.startswith(f"{bucket.function}/")]
    assert sorted(kernel.operator for kernel in found.kernels) == sorted(r.operator.partition("/")[2] for r in records)
    assert found.macs == sum(record.macs or 0 for record in records)
    assert found.bytes == sum(record.bytes or 0 for record in records)
    assert manifest.cuda is not None
    assert {kernel.kernel for kernel in found.kernels} < {kernel.name for kernel in manifest.cuda.kernels}
    assert [kernel.ms for kernel in found.kernels] == sorted((k.ms for k in found.kernels), reverse=True)


def test_every_kernel_belongs_to_a_function(artifact: Path):
    manifest = read_manifest(artifact)
    assert manifest.cuda is not None
    functions = {record.function for record in manifest.strategies}
    assert {kernel.name.rpartition("_kernel")[0] for kernel in manifest.cuda.kernels} == functions


def test_an_operator_of_several_launches(tmp_path: Path):
    """Activations that are quantized by what a row has: a launch for each step."""
    model = mixed_model("Bert", HeadKind.MEAN_POOLING, "dynamic")
    output = compile_model(model, get_target("cuda-sm75"), lengths=[6], output=tmp_path / "artifact")
    found = estimate_at(output, None)
    launches: dict[str, int] = {}
    for kernel in found.kernels:
        launches[kernel.operator] = launches.get(kernel.operator, 0) + 1
    assert max(launches.values()) > 1
    assert found.macs == sum(record.macs or 0 for record in read_manifest(output).strategies)


def test_a_model_is_compiled_for_its_estimate(tmp_path: Path):
    save(tiny_model("Bert", HeadKind.MEAN_POOLING), tmp_path)
    found = estimate_at(tmp_path, get_target("cuda-sm86"), batch=3)
    assert (found.target, found.gpu.sm, found.buckets[0].batch) == ("cuda-sm86", 86, 3)
    assert found.buckets[0].length == 24, "all positions, where there are fewer than 128"
    with pytest.raises(InputError, match="is a quantized model; name with --target the GPU"):
        estimate_at(tmp_path, None)


def test_another_gpu_of_the_same_chip(artifact: Path):
    orin = get_target("jetson-orin")
    assert orin.cuda is not None
    half = estimate_at(artifact, replace(orin, cuda=replace(orin.cuda, bandwidth_gbs=orin.cuda.bandwidth_gbs / 2)))
    assert half.kernels[0].memory_ms == pytest.approx(2 * estimate_at(artifact, None).kernels[0].memory_ms)
    with pytest.raises(TargetError, match="machine code for sm_87, which sm_75 does not run"):
        estimate_at(artifact, get_target("cuda-sm75"))


@pytest.mark.parametrize("target", ["jetson-orin-cpu", "rpi4"])
def test_a_cpus_target_is_refused(artifact: Path, target: str):
    with pytest.raises(TargetError, match=f"{target} runs the operators on a CPU.*name a target with a GPU"):
        estimate_at(artifact, get_target(target))


def older(artifact: Path) -> Manifest:
    manifest = read_manifest(artifact)
    return replace(manifest, strategies=tuple(replace(record, function=None) for record in manifest.strategies))


def without_blocks(artifact: Path) -> Manifest:
    manifest = read_manifest(artifact)
    assert manifest.cuda is not None
    kernels = tuple(replace(kernel, blocks=None) for kernel in manifest.cuda.kernels)
    return replace(manifest, cuda=replace(manifest.cuda, kernels=kernels))


@pytest.mark.parametrize("change", [older, without_blocks])
def test_an_artifact_of_an_earlier_release_is_told(artifact: Path, change):
    manifest = change(artifact)
    with pytest.raises(ArtifactError, match="before its launches were recorded; compile it again"):
        estimate(manifest, ORIN, manifest.buckets)
