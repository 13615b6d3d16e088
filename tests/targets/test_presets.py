"""Presets: every name that comes with intbert, the user's file, and the errors of both."""

import pytest
from intbert.errors import TargetError
from intbert.targets import Target, get_target, list_targets, presets
from intbert.targets.features import IMPLIED

NAMES = [
    "host",
    "x86-64-v3",
    "x86-64-v4",
    "aarch64",
    "aarch64-i8mm",
    "rpi3",
    "rpi-zero2w",
    "rpi4",
    "rpi5",
    "jetson-nano-cpu",
    "jetson-nano",
    "jetson-tx2-cpu",
    "jetson-tx2",
    "jetson-xavier-cpu",
    "jetson-xavier",
    "jetson-orin-cpu",
    "jetson-orin",
    "jetson-thor-cpu",
    "jetson-thor",
    "cuda-sm75",
    "cuda-sm80",
    "cuda-sm86",
    "cuda-sm89",
    "cuda-sm90",
    "cuda-sm75-aarch64",
    "cuda-sm80-aarch64",
    "cuda-sm86-aarch64",
    "cuda-sm89-aarch64",
    "cuda-sm90-aarch64",
    "graviton2",
    "graviton3",
]

# How LLVM names the canonical features.
LLVM_NAMES = {
    "avx2": "avx2",
    "avx512": "avx512bw",
    "avx512_vnni": "avx512vnni",
    "avx512_vbmi": "avx512vbmi",
    "avx_vnni": "avxvnni",
    "amx_int8": "amx-int8",
    "neon": "neon",
    "dotprod": "dotprod",
    "i8mm": "i8mm",
    "sve": "sve",
    "sve2": "sve2",
}


@pytest.fixture(autouse=True)
def no_presets_of_this_machines_user(monkeypatch, tmp_path):
    monkeypatch.delenv(presets.PRESETS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_every_preset_is_listed_the_host_first():
    assert [target.name for target in list_targets()] == NAMES


def test_presets_are_listed_on_machines_that_are_no_targets(monkeypatch):
    monkeypatch.setattr(presets, "probe_host", lambda: pytest.fail("the host was probed"))
    assert [target.name for target in presets.list_presets()] == NAMES[1:]


@pytest.mark.parametrize("name", NAMES)
def test_features_are_exactly_what_llvm_compiles_for(name):
    """What an artifact says that it needs is what its code may use: no more features, and no fewer."""
    from tvm.target.codegen import llvm_get_cpu_features

    target = get_target(name)
    compiled_for = {str(feature) for feature in llvm_get_cpu_features(target.tvm_host())}
    of_llvm = {feature for feature in IMPLIED[target.arch] if LLVM_NAMES[feature] in compiled_for}
    assert of_llvm == target.features


@pytest.mark.parametrize("name", NAMES)
def test_no_target_without_dotprod_uses_later_architectures(name):
    """Only dotprod tells an Armv8.2 artifact from an Armv8.0 board, so no other may use Armv8.1's own."""
    from tvm.target.codegen import llvm_get_cpu_features

    target = get_target(name)
    if target.arch == "aarch64" and "dotprod" not in target.features:
        compiled_for = {str(feature) for feature in llvm_get_cpu_features(target.tvm_host())}
        assert not compiled_for & {"lse", "rdm"}


@pytest.mark.parametrize("name", NAMES)
def test_tvm_target_says_the_same(name):
    target = get_target(name)
    tvm_target = target.tvm_host()
    assert str(tvm_target.kind) == "llvm"
    assert tvm_target.attrs["mtriple"] == target.triple
    assert tvm_target.attrs["mcpu"] == target.llvm_cpu
    assert tvm_target.attrs["num-cores"] == target.cores


@pytest.mark.parametrize("name", ["x86-64-v4", "host"])
def test_vectors_are_as_wide_as_the_features_allow(name):
    from tvm.target.codegen import llvm_get_vector_width

    target = get_target(name)
    if "avx512" in target.features:
        assert llvm_get_vector_width(target.tvm()) == 512


@pytest.mark.parametrize(
    ("asked", "near"),
    [("rpi-4", "rpi4"), ("RPI5", "rpi5"), ("jetson_orin", "jetson-orin"), ("hosts", "host")],
)
def test_unknown_target_names_near_ones(asked, near):
    with pytest.raises(TargetError, match=rf"no target '{asked}'; did you mean .*\b{near}\b"):
        get_target(asked)


def test_unknown_target_without_near_ones_names_all():
    with pytest.raises(TargetError) as raised:
        get_target("zzz")
    assert all(name in str(raised.value) for name in NAMES)


MINE = """
[my-board]
description = "a board of mine"
arch = "aarch64"
cpu = "cortex-a73"
features = ["neon"]
cores = 6
memory_mb = 3072
attributes = ["-crypto"]

[rpi4-two-cores]
inherits = "rpi4"
cores = 2
"""


def test_presets_of_the_user(write):
    path = write(MINE)
    assert get_target("my-board", path) == Target(
        name="my-board",
        description="a board of mine",
        arch="aarch64",
        triple="aarch64-linux-gnu",
        cpu="cortex-a73",
        features=frozenset({"neon"}),
        cores=6,
        memory_mb=3072,
        attributes=("-crypto",),
    )
    inherited = get_target("rpi4-two-cores", path)
    assert (inherited.cpu, inherited.cores) == ("cortex-a72", 2)
    assert [target.name for target in list_targets(path)] == [*NAMES, "my-board", "rpi4-two-cores"]


@pytest.mark.parametrize("place", ["variable", "config"])
def test_presets_of_the_user_are_found(write, monkeypatch, tmp_path, place):
    path = write(MINE)
    if place == "variable":
        monkeypatch.setenv(presets.PRESETS_VARIABLE, str(path))
    else:
        folder = tmp_path / "config" / "intbert"
        folder.mkdir(parents=True)
        path.rename(folder / "targets.toml")
    assert get_target("my-board").cores == 6


def test_a_preset_of_the_user_replaces_one_of_the_same_name(write):
    assert get_target("rpi5", write('[rpi5]\ninherits = "rpi4"\nmemory_mb = 7')).memory_mb == 7


def test_a_named_presets_file_has_to_exist(tmp_path, monkeypatch):
    with pytest.raises(TargetError, match=r"none\.toml: cannot read the presets: No such file"):
        get_target("rpi4", tmp_path / "none.toml")
    monkeypatch.setenv(presets.PRESETS_VARIABLE, str(tmp_path / "none.toml"))
    with pytest.raises(TargetError, match=r"none\.toml: cannot read the presets: No such file"):
        get_target("rpi4")


GOOD = 'description = "d"\narch = "aarch64"\ncpu = "generic"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[x", "not a TOML file", id="syntax"),
        pytest.param("x = 3", "'x' is not a table", id="not-a-table"),
        pytest.param(f"[host]\n{GOOD}", "always is the probed machine", id="host"),
        pytest.param('[x]\ncpu = "generic"', r"\[x\] lacks description, arch", id="missing-keys"),
        pytest.param(f"[x]\n{GOOD}speed = 3", "unknown key 'speed'; known: .*cores", id="unknown-key"),
        pytest.param(f'[x]\n{GOOD}cores = "4"', "cores is '4'; expected an integer", id="integer"),
        pytest.param(f"[x]\n{GOOD}cores = true", "cores is True; expected an integer", id="boolean"),
        pytest.param(f'[x]\n{GOOD}features = "neon"', "expected a list of strings", id="list"),
        pytest.param(f"[x]\n{GOOD}triple = 1", "expected a string", id="string"),
        pytest.param(f"[x]\n{GOOD}cores = 0", "cores is 0; expected at least 1", id="cores"),
        pytest.param(f"[x]\n{GOOD}memory_mb = 0", "memory_mb is 0; expected at least 1", id="memory"),
        pytest.param(f'[x]\n{GOOD}features = ["avx2"]', "features is 'avx2'; expected some of neon", id="feature"),
        pytest.param(f'[x]\n{GOOD}attributes = ["lse"]', r"expected LLVM attributes", id="attribute"),
        pytest.param(f'[x]\n{GOOD}models = [" "]', "models is ' '; expected names of machines", id="model"),
        pytest.param(f'[x]\n{GOOD}models = ["a\\nb"]', "expected names of machines", id="model-of-two-lines"),
        pytest.param(f'[x]\n{GOOD}models = "Pi"', "models is 'Pi'; expected a list", id="models"),
        pytest.param(f'[x]\n{GOOD}triple = "x86_64-linux-gnu"', "starts with aarch64-", id="triple"),
        pytest.param('[x]\ndescription = "d"\narch = "mips"\ncpu = "c"', "one of aarch64, x86_64", id="arch"),
        pytest.param('[x]\ndescription = "d"\narch = "aarch64"\ncpu = ""', "an LLVM CPU name", id="cpu"),
        pytest.param(f'["a b"]\n{GOOD}', "target name 'a b' is invalid", id="name"),
        pytest.param('[x]\ninherits = "rpi44"', "'rpi44', which does not exist; did you mean rpi4", id="parent"),
        pytest.param('[x]\ninherits = "x"', r"\[x\] inherits from itself: x -> x", id="self"),
        pytest.param('[x]\ninherits = "y"\n[y]\ninherits = "x"', "x -> y -> x", id="cycle"),
    ],
)
def test_errors_in_presets_say_where(write, text, message):
    with pytest.raises(TargetError, match=message) as raised:
        list_targets(write(text))
    assert "mine.toml" in str(raised.value)


def test_presets_file_that_is_not_utf8(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b'[x]\ndescription = "\xff"')
    with pytest.raises(TargetError, match=r"mine\.toml: not a TOML file"):
        list_targets(path)


def test_a_cpu_that_llvm_does_not_know(write):
    target = get_target("x", write(f"[x]\n{GOOD.replace('generic', 'cortex-z9')}"))
    with pytest.raises(TargetError, match="cpu is 'cortex-z9'; expected a CPU that LLVM knows"):
        target.tvm()
