"""Tuning for a GPU: TVM's real CUDA runtime, the emulator under it. Times mean nothing, every step and byte does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from intbert.compiler.artifact import read_manifest
from intbert.compiler.build import compile_model
from intbert.compiler.model import HeadKind, QuantizedModel
from intbert.compiler.model_files import save
from intbert.compiler.runtime.driver import FoundGpu
from intbert.compiler.tuned import TunedSchedules
from intbert.errors import ToolchainError, UnsuitableBoardError
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning import run
from intbert.rpc.tuning.boards import Place
from intbert.rpc.tuning.build import Builder
from intbert.rpc.tuning.result import Machine
from intbert.rpc.tuning.run import check_gpu, opened_bench
from intbert.schedules.tuning_log import open_log
from intbert.targets import Target, get_target
from intbert.targets.cuda import Cuda
from intbert.targets.cuda_compilers import Nvrtc, available_compilers

from ...models import Size, tiny_model
from .fake_cuda import CandidatesGpu

SM = 86
TARGET = get_target(f"cuda-sm{SM}")
TRIALS = 9
"""A default for each of the seven kernels, and two tiles more."""
DEVICE = f"fake (sm_{SM}, driver of CUDA 13.0)"
SCRIPT = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from intbert.compiler.artifact import Bucket
from intbert.compiler.kernel_library import build_kernel_library
from intbert.compiler.model_files import load
from intbert.rpc.on_board.kernels import Request
from intbert.rpc.sessions.here import HERE, Here
from intbert.rpc.tuning.boards import BoardProcess, Job, Place
from intbert.rpc.tuning.run import tune
from intbert.rpc.tuning.settings import Settings
from intbert.schedules import cuda
from intbert.schedules.tuning_log import open_log
from intbert.schedules.tuning_log.lines import document_of
from intbert.targets import get_target
from tvm import te
from tvm.s_tir import Schedule

for name in [name for name in vars(cuda) if name.endswith("_STRATEGIES") and name != "REAL_STRATEGIES"]:
    strategies = getattr(cuda, name)
    setattr(cuda, name, (strategies[0], strategies[-1]))  # fewer defaults
folder, target, trials = Path(sys.argv[1]), get_target(sys.argv[2]), int(sys.argv[3])
place = Place(Here(), HERE, wait=0.0)

def tuned():
    settings = Settings(trials=trials, threads=target.kernel_threads, round_size=2, repeats=2, least_ms=0.0)
    model = load(folder / "model")
    with open_log(folder / "log.db") as log:
        tune(model, target, [Bucket(6)], log, [place], settings, lambda progress, step: None)
        return [document_of(record) for record in log.records()]

def adding(number, distance=0):
    x = te.placeholder((64,), "int32", name="x")
    sch = Schedule(te.create_prim_func([x, te.compute((64,), lambda i: x[i + distance] + number, name="y")]))
    (i,) = sch.get_loops(sch.get_sblock("y"))
    block, thread = sch.split(i, [None, 32])
    sch.bind(block, "blockIdx.x")
    sch.bind(thread, "threadIdx.x")
    return sch.mod["main"]

def measured():
    os.environ["FAKE_GPU_REASONS"] = "0x20"
    np.savez(folder / "arguments.npz", **{"0": np.arange(64, dtype=np.int32), "1": np.zeros(64, np.int32)})
    board = BoardProcess(replace(place, on_gpu=True))
    try:
        for number, function in enumerate((adding(1), adding(1, 1 << 20), adding(2), adding(1))):
            library = folder / f"{number}.so"
            build_kernel_library(function, target, library)
            board.start(Job(library, folder / "arguments.npz", "arguments", Request(1, 1, 2, 0.0, on_gpu=True)))
            answer = board.take()
            yield answer.sha256 or answer.error, board.machine.computes, (answer.conditions or {}).get("throttled")
    finally:
        board.close()

print(json.dumps({"records": tuned(), "answers": list(measured())}))
"""


@dataclass(frozen=True)
class Done:
    """``log`` and its ``records``; ``answers``: of four candidates, measured while the clock was held back, the hash or
    the error, what ran it, and the reasons that it gave."""

    model: QuantizedModel
    log: Path
    records: list[dict[str, Any]]
    answers: list[tuple[str, str, list[str] | None]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    if not any(isinstance(each, Nvrtc) for each in available_compilers()):
        pytest.skip("NVRTC, whose machine code the artifact holds, is not installed")
    gpu = CandidatesGpu(tmp_path_factory.mktemp("gpu"), SM)
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "model").mkdir()
    model = tiny_model("Bert", HeadKind.MEAN_POOLING, Size(hidden=32, heads=2, intermediate=32))
    save(model, folder / "model")
    found = json.loads(gpu.run(SCRIPT, str(folder), TARGET.name, str(TRIALS)))
    return Done(model, folder / "log.db", found["records"], found["answers"])


def test_every_candidate_has_the_oracles_bytes(done: Done):
    assert {record["error"] for record in done.records} == {None}
    assert {record["checked_by"] for record in done.records} == {"intbert oracle"}
    assert all(len(record["seconds"]) == 2 for record in done.records)
    operators = {record["workload"]["operator"] for record in done.records}
    assert operators == {"embedding", "layer_norm", "linear", "attention", "mean_pooling"}


def test_several_tiles_of_a_kernel_were_tried(done: Done):
    traces: dict[str, set[str]] = {}
    for record in done.records:
        traces.setdefault(record["workload"]["hash"], set()).add(record["trace"])
    assert sum(map(len, traces.values())) == TRIALS
    assert max(map(len, traces.values())) > 1


def test_records_say_what_they_were_measured_on(done: Done):
    for record in done.records:
        assert record["device"]["cpu"] == DEVICE
        assert record["features"] == sorted({*TARGET.kernel_features, f"sm_{SM}"})
        assert (record["threads"], record["target"], record["source"]) == (1, TARGET.name, "measured")
        assert record["conditions"] == {
            "clock_hz": 1410e6,
            "temperature_celsius": 61.0,
            "governor": None,
            "throttled": False,
        }


def test_the_compiler_takes_the_logs_schedules(done: Done, tmp_path: Path):
    with open_log(done.log, read_only=True) as log:
        tuned = TunedSchedules(log, TARGET)
        manifest = read_manifest(compile_model(done.model, TARGET, lengths=[6], output=tmp_path / "a", tuned=tuned))
    assert all(strategy.tuning_record is not None for strategy in manifest.strategies)
    assert set(manifest.tuning_records) <= {record["id"] for record in done.records}


def test_other_chips_do_not_take_them(done: Done, tmp_path: Path):
    """sm_80 has the same features, but what is fast on one chip is not on another."""
    target = get_target("cuda-sm80")
    assert target.kernel_features == TARGET.kernel_features
    with open_log(done.log, read_only=True) as log:
        tuned = TunedSchedules(log, target)
        manifest = read_manifest(compile_model(done.model, target, lengths=[6], output=tmp_path / "a", tuned=tuned))
    assert manifest.tuning_records == ()


def test_a_kernel_that_the_driver_ends_costs_one_candidate(done: Done):
    """Afterwards a process can use the GPU no more: the next candidate gets another."""
    right, failed, other, again = (answer for answer, _, _ in done.answers)
    assert right == again == hashlib.sha256(np.arange(1, 65, dtype=np.int32).tobytes()).hexdigest()
    assert other == hashlib.sha256(np.arange(2, 66, dtype=np.int32).tobytes()).hexdigest()
    assert "CUDALaunch Error" in failed
    assert {computes for _, computes, _ in done.answers} == {DEVICE}


def test_measurements_say_that_the_gpu_was_held_back(done: Done):
    assert [reasons for _, _, reasons in done.answers] == [["thermal cap"], None, ["thermal cap"], ["thermal cap"]]


def machine(sm: int, release: tuple[int, int]) -> Machine:
    return Machine("orin", "aarch64", frozenset(), "a board", "cores", 6, gpu=FoundGpu("Orin", sm, release))


def test_another_chip_is_refused():
    """It might run the code; but then the log would call its times those of this one."""
    with pytest.raises(UnsuitableBoardError, match=r"orin has the GPU Orin \(sm_86\), jetson-orin is sm_87; name its"):
        check_gpu(machine(86, (13, 0)), Cuda(87, 8, 918, 102.4), "jetson-orin")


def test_a_driver_that_loads_no_compilers_code_is_refused():
    with pytest.raises(UnsuitableBoardError, match=r"orin: .*sm_87 with a driver of CUDA 11\.4: .*Update the driver"):
        check_gpu(machine(87, (11, 4)), Cuda(87, 8, 918, 102.4), "jetson-orin")


def test_candidates_are_for_the_oldest_of_the_drivers(monkeypatch: pytest.MonkeyPatch):
    target = get_target("jetson-orin")
    releases, built_for = iter([(13, 0), (12, 4)]), []

    class Board:
        def __init__(self, place: Place) -> None:
            self.machine = replace(machine(87, next(releases)), features=target.features)

        def close(self) -> None:
            pass

    def builder(target: Target, workers: int) -> Builder:
        built_for.append(target)
        return Builder(target, workers)

    monkeypatch.setattr(run, "BoardProcess", Board)
    monkeypatch.setattr(run, "Builder", builder)
    with opened_bench([Place(Here(), HERE, 0.0)] * 2, target):
        assert built_for == [target.for_driver((12, 4))]


def test_a_chip_that_no_compiler_knows_is_found_out_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("intbert.targets.cuda_compilers.available_compilers", lambda: iter(()))
    with pytest.raises(ToolchainError, match="no CUDA compiler for sm_86"), opened_bench([], TARGET):
        pass
