"""The closest preset, and why."""

from __future__ import annotations

from typing import Any

import pytest
from intbert.errors import TargetError
from intbert.targets import presets
from intbert.targets.closest import Choice, closest_preset, core_title
from intbert.targets.features import close_features
from intbert.targets.presets import list_presets


@pytest.fixture(autouse=True)
def no_presets_of_this_machines_user(monkeypatch, tmp_path):
    monkeypatch.delenv(presets.PRESETS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def closest(
    model: str | None = None,
    cpus: tuple[str, ...] = (),
    features: tuple[str, ...] = ("neon",),
    arch: str = "aarch64",
    cores: int = 4,
    memory_mb: int | None = 1024,
    **more: Any,
) -> Choice:
    closed = close_features(arch, features)
    return closest_preset(arch=arch, features=closed, cpus=cpus, model=model, cores=cores, memory_mb=memory_mb, **more)


A53, A57, A72 = (("cortex-a53",), ("neon",)), (("cortex-a57",), ("neon",)), (("cortex-a72",), ("neon",))
A76, A78AE = (("cortex-a76",), ("dotprod",)), (("cortex-a78ae",), ("dotprod",))
CARMEL = (("carmel",), ("neon",))


@pytest.mark.parametrize(
    ("model", "core", "name"),
    [
        ("Raspberry Pi 3 Model B Plus Rev 1.3", A53, "rpi3"),
        ("Raspberry Pi Compute Module 3 Plus Rev 1.0", A53, "rpi3"),
        ("Raspberry Pi Zero 2 W Rev 1.0", A53, "rpi-zero2w"),
        ("Raspberry Pi 4 Model B Rev 1.4", A72, "rpi4"),
        ("Raspberry Pi 400 Rev 1.0", A72, "rpi4"),
        ("Raspberry Pi Compute Module 4 Rev 1.1", A72, "rpi4"),
        ("Raspberry Pi Compute Module 4S Rev 1.0", A72, "rpi4"),
        ("Raspberry Pi 5 Model B Rev 1.0", A76, "rpi5"),
        ("Raspberry Pi 500 Rev 1.0", A76, "rpi5"),
        ("Raspberry Pi Compute Module 5 Lite Rev 1.0", A76, "rpi5"),
        ("NVIDIA Jetson Nano Developer Kit", A57, "jetson-nano-cpu"),
        ("NVIDIA Jetson Nano 2GB Developer Kit", A57, "jetson-nano-cpu"),
        ("NVIDIA Jetson TX2 NX Developer Kit", A57, "jetson-tx2-cpu"),
        ("NVIDIA Jetson Xavier NX Developer Kit", CARMEL, "jetson-xavier-cpu"),
        ("Jetson-AGX", CARMEL, "jetson-xavier-cpu"),
        ("NVIDIA Jetson AGX Orin Developer Kit", A78AE, "jetson-orin-cpu"),
        ("NVIDIA Jetson Orin Nano Developer Kit", A78AE, "jetson-orin-cpu"),
        ("NVIDIA Orin NX Developer Kit", A78AE, "jetson-orin-cpu"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_by_the_name_of_the_machine(model, core, name):
    cpus, features = core
    choice = closest(model, cpus, features)
    assert choice.target.name == name
    assert choice.reason.startswith(f"{model} is what {name} stands for")
    assert closest(model, (), features).target.name == name  # cores that cannot be told do not matter


@pytest.mark.parametrize(
    ("model", "cpus", "features", "name", "reason"),
    [
        pytest.param(
            "Orange Pi 5",
            ("cortex-a55", "cortex-a76"),
            ("dotprod",),
            "rpi5",
            "no preset is called Orange Pi 5; it has Cortex-A76 cores, as rpi5",
            id="second-kind-of-core",
        ),
        pytest.param(
            "Pine64 RockPro64",
            ("cortex-a53", "cortex-a72"),
            ("neon",),
            "rpi3",
            "no preset is called Pine64 RockPro64; it has Cortex-A53 cores, as rpi3",
            id="first-kind-of-core",
        ),
        pytest.param(
            None, ("neoverse-n1",), ("dotprod",), "graviton2", "it has Neoverse-N1 cores, as graviton2", id="no-model"
        ),
        pytest.param(
            None,
            ("neoverse-v1",),
            ("i8mm", "sve"),
            "graviton3",
            "it has Neoverse-V1 cores, as graviton3",
            id="graviton3",
        ),
        pytest.param(
            "Raspberry Pi 40",
            ("cortex-a72",),
            ("neon",),
            "rpi4",
            "no preset is called Raspberry Pi 40; it has Cortex-A72 cores, as rpi4",
            id="a-longer-word-is-another",
        ),
    ],
)
def test_by_the_core(model, cpus, features, name, reason):
    choice = closest(model, cpus, features, memory_mb=None)
    assert (choice.target.name, choice.reason) == (name, reason)


@pytest.mark.parametrize(
    ("arch", "model", "cpus", "features", "name", "reason"),
    [
        pytest.param(
            "aarch64",
            "Quartz64 Model A",
            ("cortex-a55",),
            ("dotprod",),
            "aarch64",
            "generic code for aarch64: Quartz64 Model A is not known here",
            id="unknown-model",
        ),
        pytest.param(
            "aarch64",
            None,
            ("neoverse-v2",),
            ("i8mm", "sve2"),
            "aarch64-i8mm",
            "generic code for aarch64-i8mm: the core Neoverse-V2 is not known here",
            id="other-core-with-more-features",
        ),
        pytest.param(
            "aarch64",
            None,
            (),
            ("dotprod",),
            "aarch64",
            "generic code for aarch64: the richest preset that it can run",
            id="nothing-known",
        ),
        pytest.param(
            "x86_64",
            None,
            (),
            ("avx512_vnni",),
            "x86-64-v4",
            "generic code for x86-64-v4: the richest preset that it can run",
            id="avx512",
        ),
        pytest.param(
            "x86_64",
            None,
            (),
            ("avx_vnni",),
            "x86-64-v3",
            "generic code for x86-64-v3: the richest preset that it can run",
            id="avx2",
        ),
        pytest.param(
            "aarch64",
            "Raspberry Pi 5 Model B",
            (),
            ("neon",),
            "aarch64",
            "Raspberry Pi 5 Model B offers no dotprod, which rpi5 needs; generic code for aarch64 it is",
            id="masked-instruction",
        ),
        pytest.param(
            "aarch64",
            "Raspberry Pi 5 Model B",
            ("cortex-a72",),
            ("neon",),
            "rpi4",
            "Raspberry Pi 5 Model B offers no dotprod, which rpi5 needs; it has Cortex-A72 cores, as rpi4",
            id="masked-instruction-of-a-known-core",
        ),
    ],
)
def test_generic_code(arch, model, cpus, features, name, reason):
    choice = closest(model, cpus, features, arch, memory_mb=None)
    assert (choice.target.name, choice.reason) == (name, reason)


@pytest.mark.parametrize(
    ("cores", "memory_mb", "said"),
    [
        (4, 1024, ""),
        (4, 906, ""),  # the firmware keeps some for the screen
        (4, 7800, " (7.6 GB of memory where the preset has 1 GB)"),
        (4, 512, " (0.5 GB of memory where the preset has 1 GB)"),
        (2, None, " (2 cores where the preset has 4)"),
        (3, 7800, " (3 cores where the preset has 4, 7.6 GB of memory where the preset has 1 GB)"),
    ],
    ids=["same", "nearly", "more-memory", "less-memory", "cores", "both"],
)
def test_other_cores_or_memory_are_mentioned(cores, memory_mb, said):
    choice = closest("Raspberry Pi 4 Model B", cores=cores, memory_mb=memory_mb)
    assert choice.reason == f"Raspberry Pi 4 Model B is what rpi4 stands for{said}"


@pytest.mark.parametrize("preset", list_presets(), ids=lambda target: target.name)
def test_no_choice_needs_an_instruction_that_is_missing(preset):
    """For a machine that is what the preset stands for, but with each feature masked in turn."""
    for masked in preset.features:
        features = {feature for feature in preset.features if masked not in close_features(preset.arch, {feature})}
        for model in (None, *preset.models):
            try:
                choice = closest(model, (preset.cpu,), tuple(features), preset.arch)
            except TargetError:
                assert masked in ("neon", "avx2")
            else:
                assert choice.target.features <= features


@pytest.mark.parametrize(
    ("arch", "features", "message"),
    [
        (
            "x86_64",
            (),
            r"no preset fits this x86_64 machine: it lacks avx2, which even x86-64-v3 needs; describe it in",
        ),
        ("aarch64", (), r"it lacks neon, which even aarch64 needs"),
    ],
)
def test_a_machine_that_no_preset_fits(arch, features, message):
    with pytest.raises(TargetError, match=message):
        closest(arch=arch, features=features)


def test_an_architecture_without_presets():
    with pytest.raises(TargetError, match="no preset for riscv64 machines; presets are for aarch64, x86_64"):
        closest_preset(arch="riscv64", features=(), cpus=(), model=None, cores=4, memory_mb=None)


MINE = """
[my-board]
description = "a board of mine"
arch = "aarch64"
cpu = "cortex-a73"
features = ["neon"]
cores = 4

[rpi4-with-a-hat]
inherits = "rpi4"
models = ["Raspberry Pi 4 Model B Rev 1.5"]

[generic-dotprod]
inherits = "aarch64"
description = "my boards with dotprod"
features = ["dotprod"]

[rpi4-again]
inherits = "rpi4"
"""


@pytest.mark.parametrize(
    ("model", "cpus", "features", "name"),
    [
        ("Mine", ("cortex-a73",), ("neon",), "my-board"),
        ("Raspberry Pi 4 Model B Rev 1.5", (), ("neon",), "rpi4-with-a-hat"),
        ("raspberry pi 4 model b rev 1.4", (), ("neon",), "rpi4"),
        ("Mine", ("cortex-a55",), ("dotprod",), "generic-dotprod"),
    ],
    ids=["core", "more-precise-name", "first-of-equals", "richer-generic-code"],
)
def test_presets_of_the_user_count_too(tmp_path, model, cpus, features, name):
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    assert closest(model, cpus, features, presets=path).target.name == name


@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
def test_no_two_presets_stand_for_the_same_model(gpu):
    names = [model for target in list_presets() if (target.cuda is not None) == gpu for model in target.models]
    assert names
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("model", "core", "arch", "gpu", "name"),
    [
        pytest.param("NVIDIA Jetson AGX Orin Developer Kit", A78AE, "aarch64", 87, "jetson-orin", id="by-name"),
        pytest.param("NVIDIA Orin NX Developer Kit", A78AE, "aarch64", None, "jetson-orin-cpu", id="no-runtime"),
        pytest.param("a server", (("neoverse-v2",), ("i8mm",)), "aarch64", 90, "cuda-sm90-aarch64", id="server"),
        pytest.param(None, ((), ("avx2",)), "x86_64", 89, "cuda-sm89", id="card"),
        pytest.param(None, ((), ("avx2",)), "x86_64", 61, "x86-64-v3", id="no-preset-for-the-gpu"),
    ],
)
def test_by_the_gpu(model, core, arch, gpu, name):
    cpus, features = core
    choice = closest(model, cpus, features, arch, gpu=gpu)
    assert choice.target.name == name
    if choice.target.cuda is not None:
        assert f"compute capability {gpu // 10}.{gpu % 10}, as {name}" in choice.reason


@pytest.mark.parametrize(
    ("cpu", "title"),
    [("cortex-a78ae", "Cortex-A78AE"), ("carmel", "Carmel"), ("neoverse-n1", "Neoverse-N1")],
)
def test_core_title(cpu, title):
    assert core_title(cpu) == title
