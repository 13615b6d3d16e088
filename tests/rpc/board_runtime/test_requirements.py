"""Which packages a board gets, read from what is installed here."""

from __future__ import annotations

import importlib.metadata

import pytest
from intbert.errors import ToolchainError
from intbert.rpc.board_runtime import requirements
from intbert.rpc.board_runtime.requirements import Wanted, declared_requirements, wanted_packages
from intbert.targets.versions import PINNED

DECLARED = {
    "intbert": ["numpy>=1.26", "Tokenizers (>=0.20, <1)", "torch>=2 ; extra == 'quantize'", "paramiko>=4"],
    "apache-tvm-ffi": ["typing_extensions>=4.13"],
}


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What these packages declare to need; a test may change it."""
    found = {name: list(lines) for name, lines in DECLARED.items()}
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: found[name])
    monkeypatch.setattr(requirements, "installed_version", {"numpy": "2.4.6", "pip": "26.3"}.get)
    return found


def choices() -> dict[str, tuple[str, ...]]:
    return {wanted.name: wanted.choices for wanted in wanted_packages()}


@pytest.mark.usefixtures("declared")
def test_this_environments_version_first_then_what_is_declared() -> None:
    assert choices() == {
        "apache-tvm-ffi": (f"apache-tvm-ffi=={PINNED['apache-tvm-ffi']}",),
        "numpy": ("numpy==2.4.6", "numpy>=1.26"),
        "tokenizers": ("tokenizers>=0.20,<1",),
        "typing-extensions": ("typing-extensions>=4.13",),
        "pip": ("pip==26.3", "pip"),
        "apache-tvm": (f"apache-tvm=={PINNED['apache-tvm']}",),
    }


def test_what_tvm_ffi_does_not_need_is_left_out(declared: dict[str, list[str]]) -> None:
    declared["apache-tvm-ffi"] = ["typing_extensions>=4.13; extra == 'cpp'"]
    assert "typing-extensions" not in choices()


def test_this_environment_itself() -> None:
    chosen = choices()
    for name in ("numpy", "tokenizers"):
        assert chosen[name][0] == f"{name}=={importlib.metadata.version(name)}"
        assert chosen[name][1].startswith(f"{name}>=")


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(ToolchainError, match=r"no-such-package is not installed .* run `pip install no-such-package`"):
        list(declared_requirements("no-such-package"))


@pytest.mark.parametrize("choices", [(), ("numpy==1", "torch")], ids=["nothing", "another-package"])
def test_what_cannot_be_wanted(choices: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="numpy cannot be had"):
        Wanted("numpy", choices)
