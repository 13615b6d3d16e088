"""``model.py`` of a bundle, from Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from intbert.compiler.runtime import load

TEXTS = ["one two", "three"]


def python(program: str) -> subprocess.CompletedProcess[str]:
    """This Python, without the packages of the tests."""
    return subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)


def test_it_gives_the_floats_of_the_artifact(bundle: Path, toy_here: Path) -> None:
    done = python(
        f"import sys; sys.path.insert(0, {str(bundle)!r}); import model; "
        f"sys.stdout.write(model.load(threads=1)({TEXTS!r}).tobytes().hex())"
    )
    assert done.stdout == load(toy_here)(TEXTS).tobytes().hex(), done.stderr


def test_importing_it_loads_nothing(bundle: Path) -> None:
    done = python(
        f"import sys; sys.path.insert(0, {str(bundle)!r}); import model; "
        "print([name for name in ('numpy', 'tvm_ffi', 'intbert', 'tokenizers') if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        pytest.param("python", "3.9", "is for Python 3.9 on ", id="another-python"),
        pytest.param("arch", "sparc", f"is for Python {sys.version_info[0]}.{sys.version_info[1]} on sparc", id="arch"),
    ],
)
def test_another_python_is_refused_in_one_line(bundle: Path, tmp_path: Path, key: str, value: str, said: str) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy", symlinks=True)
    document = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps({**document, key: value}))
    imported = python(f"import sys; sys.path.insert(0, {str(copy)!r}); import model")
    assert imported.stderr.splitlines()[-1].startswith("ImportError: the bundle in")
    assert said in imported.stderr
    for program in ("run", "serve"):
        done = subprocess.run([copy / program], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"{program}: the bundle in")
        assert said in line


def test_old_pythons_can_read_it(bundle: Path) -> None:
    """They have to be able to say that they are too old. Python 3.6 is the oldest that a supported system has."""
    import ast

    ast.parse((bundle / "model.py").read_text(), feature_version=(3, 6))
    assert "__future__" not in (bundle / "model.py").read_text()
