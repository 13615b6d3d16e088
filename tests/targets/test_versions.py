"""The pinned TVM pair, and what is said when another is installed."""

import subprocess
import sys

import pytest
from intbert.errors import ToolchainError
from intbert.targets import versions

GOOD = dict(versions.PINNED)


def install(monkeypatch, installed):
    def version(name):
        if installed[name] is None:
            raise versions.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(versions, "version", version)


def test_this_environment_has_the_pinned_pair():
    versions.check_versions()
    assert versions.installed_versions() == GOOD


@pytest.mark.parametrize(
    ("installed", "words"),
    [
        pytest.param({"apache-tvm-ffi": "0.1.15"}, "apache-tvm-ffi is 0.1.15;", id="newer-ffi"),
        pytest.param({"apache-tvm": None}, "apache-tvm is not installed;", id="missing"),
        pytest.param(
            {"apache-tvm": "0.26.0", "apache-tvm-ffi": None},
            "apache-tvm is 0.26.0 and apache-tvm-ffi is not installed;",
            id="both",
        ),
    ],
)
def test_another_pair_is_refused_with_the_command_that_mends_it(monkeypatch, installed, words):
    install(monkeypatch, {**GOOD, **installed})
    with pytest.raises(ToolchainError) as raised:
        versions.check_versions()
    assert str(raised.value) == f"{words} run `{versions.mend_command()}`"


def test_checking_imports_no_tvm():
    program = (
        "import sys; from intbert.targets.versions import check_versions; check_versions(); "
        "print([name for name in ('tvm', 'tvm_ffi', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
