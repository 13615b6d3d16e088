"""Spaces: the default is a point, traces are replayed, and a trace from elsewhere is refused, whatever is in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import intbert
import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from intbert.compiler.artifact import Bucket
from intbert.compiler.kernels import Alternative, Shape, alternatives, workload_hash
from intbert.compiler.model import HeadKind
from intbert.compiler.operators.linear import Linear
from intbert.compiler.operators.value_range import Range
from intbert.compiler.packing import Packing
from intbert.compiler.tasks import tasks_of
from intbert.errors import TraceError
from intbert.schedules.linear import activation_zero_point
from intbert.schedules.space import space, space_digest, trace_json
from intbert.targets import get_target
from intbert.targets.target import Target
from tvm.s_tir.meta_schedule.mutator import MutateTileSize
from tvm_ffi import structural_equal, structural_hash

from .. import models
from ..devices.test_float_kernels import LENGTH, ROWS, inputs_of
from ..devices.test_float_kernels import operators as float_operators
from .linear_cases import layer
from .points import points, sketches_of


def x86_64(cpu: str, *features: str) -> Target:
    return Target(cpu, "", "x86_64", "x86_64-unknown-linux-gnu", cpu, frozenset(features))


TARGETS = {
    "amx": x86_64("x86-64-v4", "avx2", "avx512", "avx512_vnni", "amx_int8"),
    "avx512_vnni": x86_64("x86-64-v4", "avx2", "avx512", "avx512_vnni"),
    "avx512_vbmi": x86_64("x86-64-v4", "avx2", "avx512", "avx512_vnni", "avx512_vbmi"),
    "avx_vnni": x86_64("x86-64-v3", "avx2", "avx_vnni"),
    "avx2": get_target("x86-64-v3"),
    "rpi4": get_target("rpi4"),
    "rpi5": get_target("rpi5"),
}
WITH_PLAIN = "avx2"
"""The target on which the plain loop nests are tested too."""
MOST_SKETCHES = 16

every_target = pytest.mark.parametrize("target", TARGETS)


@cache
def ways(target: str) -> tuple[Alternative, ...]:
    """The strategies of this target for every kernel of a small model, for a packed weight and for float operators."""
    features = TARGETS[target].features
    zero_point = activation_zero_point(features)
    size = models.Size(hidden=64, heads=2, intermediate=192)
    model = models.tiny_model("Bert", HeadKind.MEAN_POOLING, size)
    found = [task.alternatives for task in tasks_of(model, [Bucket(16, 2)], features)]
    found.append(alternatives(linear(48, 64, Packing(3)), Shape(1, 8, 8, 64, zero_point, zero_point, features)))
    binary = replace(linear(96, 64, Packing(1, mid_rise=True)), input_range=Range(-7, 7))
    found.append(alternatives(binary, Shape(1, 32, 32, 64, zero_point, zero_point, features)))
    for name, operator in float_operators().items():
        found.append(alternatives(operator, Shape(1, LENGTH, ROWS, inputs_of(name)[0].shape[1], 0, 0, features)))
    return tuple(way for each in found for way in (each if target == WITH_PLAIN else each[:1]))


def linear(channels: int, inputs: int, packing: Packing | None = None) -> Linear:
    whole = layer(channels, inputs, "narrow")
    if packing is None:
        return whole
    weight = np.full((channels, inputs), packing.limit, np.int8)
    return Linear(whole.name, weight, whole.bias, whole.epilogue, packing)


def one_way(rows: int = 32, channels: int = 96, inputs: int = 64, target: str = "avx512_vnni") -> Alternative:
    features = TARGETS[target].features
    zero_point = activation_zero_point(features)
    shape = Shape(1, rows, rows, inputs, zero_point, zero_point, features)
    return alternatives(linear(channels, inputs), shape)[0]


@every_target
def test_the_default_is_a_point_of_the_space(target: str) -> None:
    for way in ways(target):
        default = way.default()
        assert structural_equal(way.replay(trace_json(default)), way.finish(default)), way.words


@every_target
def test_sketches_differ_and_begin_with_the_default(target: str) -> None:
    for way in ways(target):
        names = [sketch.name for sketch in way.strategy.sketches(way.workload)]
        traces = [trace_json(sketch) for sketch in sketches_of(way)]
        assert traces[0] == trace_json(way.default()), way.words
        programs = {json.dumps(json.loads(trace)[0]) for trace in traces}
        assert len(names) == len(set(names)) == len(programs) <= MOST_SKETCHES, (way.words, names)


@every_target
def test_points_are_replayed(target: str) -> None:
    for number, way in enumerate(ways(target)):
        (point,) = points(way, 1, number)
        assert structural_equal(way.replay(trace_json(point[1])), way.finish(point[1])), (way.words, point[0])


@pytest.mark.parametrize(
    ("target", "strategy"),
    [
        ("avx512_vbmi", "avx512_vpermb"),
        ("avx_vnni", "avx_vnni_vpshufb"),
        ("avx2", "avx2_vpshufb"),
        ("rpi4", "neon_tbl"),
    ],
)
def test_table_look_ups_have_a_space(target: str, strategy: str) -> None:
    """Tiles of rows that follow each other are open, and with columns outside, of rows whose tables a thread builds."""
    (way,) = [each for each in ways(target) if each.strategy.name == strategy]
    for name, sketch in zip([each.name for each in way.strategy.sketches(way.workload)], sketches_of(way), strict=True):
        decisions = json.loads(trace_json(sketch))[1]
        assert len(decisions) == (3 if "columns outside" in name else 2)
    drawn = [json.loads(trace_json(schedule))[1] for _, schedule in points(way, 40)]
    assert len({tuple(decisions[0][1]) for decisions in drawn}) > 2


@pytest.mark.parametrize("target", ["avx512_vnni", "avx2", "rpi5"])
def test_search_mutates_every_kernel_with_choices(target: str) -> None:
    mutate = MutateTileSize()
    for way in ways(target):
        generator = space(way.strategy, way.kernel, way.workload)
        designs = generator.generate_design_space(tvm.IRModule({"main": way.kernel}))
        assert len(designs) == len(way.strategy.sketches(way.workload))
        found = [mutate.apply(designs[0].trace) for _ in range(8)]
        mutants = [trace for trace in found if trace is not None]
        assert mutants or len(designs) > 1, f"{way.words}: there is nothing to choose"
        for mutant in mutants[:1]:
            schedule = tvm.s_tir.Schedule(tvm.IRModule({"main": way.kernel}))
            mutant.apply_to_schedule(schedule, remove_postproc=True)
            assert trace_json(schedule) != trace_json(designs[0]), way.words
            assert structural_equal(way.replay(trace_json(schedule)), way.finish(schedule)), way.words


def test_choices_reach_both_ends() -> None:
    """Groups of columns and rows, and steps that are unrolled, are really drawn."""
    drawn = [json.loads(trace_json(schedule))[1] for _, schedule in points(one_way(), 60)]
    for position in range(3):
        assert len({tuple(decisions[position][1]) for decisions in drawn}) > 2


FRESH = """
import json, sys
from tvm_ffi import structural_hash
from intbert.compiler.kernels import workload_hash
from intbert.tests.schedules.test_space import one_way
way = one_way()
traces = json.load(sys.stdin)
print(json.dumps([workload_hash(way.kernel), [structural_hash(way.replay(trace)) for trace in traces]]))
"""


def test_another_process_replays_the_same() -> None:
    """Where no intrinsic of the sketch has been registered yet."""
    way = one_way()
    schedules = [schedule for _, schedule in points(way, 12)]
    answer = subprocess.run(
        [sys.executable, "-c", FRESH],
        input=json.dumps([trace_json(schedule) for schedule in schedules]),
        cwd=Path(__file__).parent,
        text=True,
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == [
        workload_hash(way.kernel),
        [structural_hash(way.finish(schedule)) for schedule in schedules],
    ]


def test_workload_hash_is_of_the_computation() -> None:
    kernel = one_way().kernel
    assert workload_hash(kernel) == workload_hash(kernel.with_attr("global_symbol", "another"))
    others = [one_way(rows=16), one_way(channels=48), one_way(inputs=128), one_way(target="rpi5")]
    hashes = {workload_hash(each) for each in (kernel, *(way.kernel for way in others))}
    assert len(hashes) == 5
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in hashes)


def edited(edit: Callable[[Any], Any]) -> str:
    """The default's trace with a change in its document."""
    document = json.loads(trace_json(one_way().default()))
    return json.dumps(edit(document) or document)


def decide(index: int, decision: Any) -> Callable[[Any], None]:
    def edit(document: Any) -> None:
        document[1][index][1] = decision

    return edit


def foreign_intrinsic(document: Any) -> None:
    tensorize = next(instruction for instruction in document[0] if instruction[0] == "Tensorize")
    assert "vnni" in json.dumps(tensorize[2])
    tensorize[2] = json.loads(json.dumps(tensorize[2]).replace("vnni", "tpu"))


@pytest.mark.parametrize(
    "trace",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="not-json"),
        pytest.param("[" * 100_000, id="nested"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="no-instructions"),
        pytest.param("[[], []]", id="nothing"),
        pytest.param('[[["Tensorize", [], [], []]], []]', id="foreign-program"),
        pytest.param('{"insts": []}', id="object"),
        pytest.param(edited(foreign_intrinsic), id="foreign-intrinsic"),
        pytest.param(edited(lambda document: document[0].pop()), id="not-a-document"),
        pytest.param(edited(lambda document: [document[0][:-1], document[1]]), id="instruction-missing"),
        pytest.param(edited(lambda document: [document[0], []]), id="no-decisions"),
        pytest.param(edited(lambda document: [document[0], document[1][::-1]]), id="order"),
        pytest.param(edited(lambda document: [document[0], [None] * 3]), id="no-pairs"),
        pytest.param(edited(decide(0, None)), id="no-sizes"),
        pytest.param(edited(decide(0, 4)), id="one-size"),
        pytest.param(edited(decide(0, [])), id="empty-sizes"),
        pytest.param(edited(decide(0, [3, 1, 1])), id="three-sizes"),
        pytest.param(edited(decide(0, [0, 0])), id="zero"),
        pytest.param(edited(decide(0, [-1, -3])), id="negative"),
        pytest.param(edited(decide(0, [1.0, 3.0])), id="fractions"),
        pytest.param(edited(decide(0, [True, True])), id="booleans"),
        pytest.param(edited(decide(0, ["1", "3"])), id="words"),
        pytest.param(edited(decide(0, [5, 7])), id="does-not-divide"),
        pytest.param(edited(decide(0, [2**80, 1])), id="huge"),
    ],
)
def test_a_trace_that_is_no_point_is_refused(trace: str) -> None:
    with pytest.raises(TraceError) as refusal:
        one_way().replay(trace)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: one_way(rows=12), id="rows"),
        pytest.param(lambda: one_way(channels=80), id="channels"),
        pytest.param(lambda: one_way(target="rpi5"), id="processor"),
        pytest.param(lambda: ways("avx512_vnni")[0], id="operator"),
    ],
)
def test_a_trace_of_another_kernel_is_refused(other: Callable[[], Alternative]) -> None:
    with pytest.raises(TraceError, match="tune again"):
        one_way().replay(trace_json(other().default()))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: one_way(), id="itself"),
        pytest.param(lambda: one_way(rows=128), id="more-rows"),
        pytest.param(lambda: one_way(rows=7), id="fewer-rows"),
        pytest.param(lambda: one_way(channels=80), id="channels"),
        pytest.param(lambda: one_way(inputs=256), id="inputs"),
    ],
)
def test_the_nearest_point_to_one_of_another_shape(other: Callable[[], Alternative]) -> None:
    """It is a point of this kernel's own space; of the same kernel, the very point."""
    way, far = one_way(), other()
    for _, point in points(far, 4, 3):
        near = way.nearest(trace_json(point))
        assert near is not None
        assert structural_equal(way.replay(trace_json(near)), way.finish(near))
        assert trace_json(near) == trace_json(point) or structural_equal(far.kernel, way.kernel) is False


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: one_way(target="rpi5"), id="processor"),
        pytest.param(lambda: ways("avx512_vnni")[0], id="operator"),
    ],
)
def test_nothing_is_near_to_a_point_of_another_strategy(other: Callable[[], Alternative]) -> None:
    assert one_way().nearest(trace_json(other().default())) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_decision_does_harm(data: st.DataObject) -> None:
    """Any decisions give either the kernel that they describe, or TraceError."""
    way = one_way()
    document = json.loads(trace_json(way.default()))
    for decision in document[1]:
        sizes = st.lists(st.integers(-2, 100), min_size=1, max_size=3)
        decision[1] = data.draw(st.one_of(sizes, st.just(decision[1]), st.just(decision[1][::-1])))
    try:
        function = way.replay(json.dumps(document))
    except TraceError:
        return
    assert [tuple(buffer.shape) for buffer in function.params] == [tuple(buffer.shape) for buffer in way.kernel.params]


def test_digest_is_of_the_schedules_sources(tmp_path: Path) -> None:
    sources = Path(intbert.__file__).parent / "schedules"
    copy = tmp_path / "schedules"
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("__pycache__"))
    digest = space_digest()
    assert space_digest(copy) == digest
    (copy / "tuning_log" / "further.py").write_text("")
    assert space_digest(copy) == digest
    changed = copy / "intrinsics" / "vnni.py"
    changed.write_text(changed.read_text() + "\n")
    assert space_digest(copy) != digest
