"""GPUs: what chips can do, the features that follow, and which chip runs whose machine code."""

import pytest
from intbert.errors import TargetError
from intbert.targets import get_target, list_targets
from intbert.targets.cuda import (
    ARCHITECTURES,
    FEATURES,
    Cuda,
    compiles_ptx,
    loads_machine_code,
    parse_release,
    runs_code_of,
)

ORIN = Cuda(87, 8, 918, 102.4)
GPUS = {
    "jetson-nano": 53,
    "jetson-tx2": 62,
    "jetson-xavier": 72,
    "jetson-orin": 87,
    "jetson-thor": 110,
    **{f"cuda-sm{sm}{host}": sm for sm in (75, 80, 86, 89, 90) for host in ("", "-aarch64")},
}


def test_presets_with_a_gpu():
    assert {target.name: target.cuda.sm for target in list_targets() if target.cuda is not None} == GPUS


@pytest.mark.parametrize(
    ("sm", "features"),
    [
        (53, {"cuda"}),
        (62, {"cuda", "dp4a"}),
        (72, {"cuda", "dp4a", "imma"}),
        (75, {"cuda", "dp4a", "imma", "ldmatrix", "imma_s4", "bmma"}),
        (87, FEATURES),
        (90, FEATURES - {"imma_s4", "bmma", "bmma_and"}),
        (110, FEATURES - {"imma_s4", "bmma", "bmma_and"}),
    ],
    ids=lambda value: f"sm_{value}" if isinstance(value, int) else "",
)
def test_features_of_a_chip(sm, features):
    assert Cuda(sm, 1, 1, 1.0).features == features


@pytest.mark.parametrize("name", GPUS)
def test_the_gpu_runs_the_operators_and_the_cpu_is_the_host(name):
    target = get_target(name)
    assert target.cuda is not None
    assert target.kernel_features == target.cuda.features
    tvm_target = target.tvm()
    assert (str(tvm_target.kind), tvm_target.attrs["arch"]) == ("cuda", f"sm_{GPUS[name]}")
    assert tvm_target.host.attrs["mtriple"] == target.triple


def test_without_a_gpu_the_cpu_runs_the_operators():
    target = get_target("jetson-orin-cpu")
    assert target.cuda is None
    assert target.kernel_features == target.features
    assert str(target.tvm().kind) == "llvm"


@pytest.mark.parametrize("name", sorted(name for name in GPUS if name.startswith("jetson")))
def test_a_jetson_and_its_cpu_are_one_machine(name):
    gpu, cpu = get_target(name), get_target(f"{name}-cpu")
    assert (gpu.triple, gpu.cpu, gpu.features, gpu.models) == (cpu.triple, cpu.cpu, cpu.features, cpu.models)


@pytest.mark.parametrize("sm", [0, 30, 88, 870])
def test_an_unknown_chip_is_refused_with_those_that_are_known(sm):
    with pytest.raises(TargetError, match=rf"cuda\.sm is {sm}, .*known: 53, .*87.*nearest smaller") as raised:
        Cuda(sm, 1, 1, 1.0)
    assert all(str(known) in str(raised.value) for known in ARCHITECTURES)


@pytest.mark.parametrize("field", ["multiprocessors", "clock_mhz", "bandwidth_gbs"])
def test_numbers_of_a_gpu_are_positive(field):
    with pytest.raises(TargetError, match=rf"cuda\.{field} is 0; it must be positive"):
        Cuda(**{"sm": 87, "multiprocessors": 8, "clock_mhz": 918, "bandwidth_gbs": 102.4, field: 0})


TABLE = '[x]\ninherits = "aarch64"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuda = 87", "cuda is 87; expected a table of the numbers sm, multiprocessors"),
        ("cuda = { sm = 87 }", "expected a table of the numbers"),
        ('cuda = { sm = "87", multiprocessors = 1, clock_mhz = 1, bandwidth_gbs = 1 }', "expected a table"),
        ("cuda = { sm = 87, multiprocessors = true, clock_mhz = 1, bandwidth_gbs = 1 }", "expected a table"),
        ("cuda = { sm = 88, multiprocessors = 1, clock_mhz = 1, bandwidth_gbs = 1 }", "cuda.sm is 88"),
        (
            "cuda = { sm = 87, multiprocessors = 1, clock_mhz = 1, bandwidth_gbs = 1, driver = 12.6 }",
            "perhaps driver =",
        ),
        (
            'cuda = { sm = 87, multiprocessors = 1, clock_mhz = 1, bandwidth_gbs = 1, driver = "new" }',
            "'new' is no CUDA",
        ),
    ],
    ids=["number", "missing-keys", "string", "boolean", "unknown-sm", "driver-as-number", "no-release"],
)
def test_errors_in_presets_say_where(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(TABLE + text)
    with pytest.raises(TargetError, match=message) as raised:
        list_targets(path)
    assert "mine.toml" in str(raised.value)


def test_a_gpu_of_the_users(tmp_path):
    path = tmp_path / "mine.toml"
    gpu = "sm = 87, multiprocessors = 16, clock_mhz = 1300, bandwidth_gbs = 204"
    path.write_text(f'{TABLE}cuda = {{ {gpu} }}\n[y]\ninherits = "x"\ncuda = {{ {gpu}, driver = "12.6" }}')
    assert get_target("x", path).cuda == Cuda(87, 16, 1300, 204)
    assert get_target("y", path).cuda == Cuda(87, 16, 1300, 204, driver=(12, 6))


@pytest.mark.parametrize(
    ("device", "sm", "runs"),
    [
        (87, 87, True),
        (89, 86, True),
        (86, 80, True),
        (80, 86, False),
        (89, 87, False),  # a Jetson's
        (87, 86, False),
        (90, 89, False),
        (75, 72, False),
    ],
)
def test_machine_code_runs_on_later_chips_of_its_generation(device, sm, runs):
    assert runs_code_of(device, sm) == runs


@pytest.mark.parametrize(
    ("driver", "compiler", "machine_code", "ptx"),
    [
        ((12, 6), (12, 6), True, True),
        ((12, 2), (12, 9), True, False),
        ((13, 0), (12, 9), True, True),
        ((12, 9), (13, 0), False, False),
        ((11, 8), (12, 0), False, False),
    ],
    ids=["same", "later-minor", "earlier-major", "later-major", "old-driver"],
)
def test_what_a_driver_takes(driver, compiler, machine_code, ptx):
    assert loads_machine_code(driver, compiler) == machine_code
    assert compiles_ptx(driver, compiler) == ptx


@pytest.mark.parametrize(("text", "release"), [("12", (12, 0)), ("12.6", (12, 6)), ("13.10", (13, 10))])
def test_releases(text, release):
    assert parse_release(text) == release


@pytest.mark.parametrize("text", ["", "12.", ".6", "540.4.0", "580.65", "v12", "12,6", "-12"])
def test_what_is_no_release(text):
    with pytest.raises(TargetError, match=r"is no CUDA release, such as 12 or 12\.6; `nvidia-smi` shows"):
        parse_release(text)


def test_a_driver_is_of_gpus():
    orin, cpu = get_target("jetson-orin"), get_target("jetson-orin-cpu")
    assert orin.cuda is not None
    assert orin.for_driver((12, 6)).cuda == Cuda(**{**vars(orin.cuda), "driver": (12, 6)})
    assert orin.for_driver((12, 6)).for_driver(None).cuda == Cuda(**{**vars(orin.cuda), "driver": (12, 6)})
    assert cpu.for_driver((12, 6)) == cpu


def test_what_only_a_cpu_can_do_is_refused():
    get_target("jetson-orin-cpu").require_cpu("tuned")
    with pytest.raises(TargetError, match=r"on a GPU \(sm_87\), whose kernels cannot be tuned; name a target without"):
        get_target("jetson-orin").require_cpu("tuned")
