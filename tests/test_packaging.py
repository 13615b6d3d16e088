"""The wheel holds what the tree has and no more; the pins agree; the command line starts light."""

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from intbert.targets.versions import PINNED
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
NOT_IN_THE_PACKAGE = {"tests", "benchmarks", "docs", "requirements", "build", "dist", "runs"}
ROOT_FILES = {"__init__.py", "errors.py", "py.typed"}
HEAVY = ("numpy", "tvm", "tvm_ffi", "torch", "transformers", "scipy", "sklearn")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def not_sources(folder, names):
    """Name what ``shutil.copytree`` leaves out: hidden files, caches, and what builds leave in the root."""
    left = {name for name in names if name.startswith(".") or name == "__pycache__"}
    if Path(folder) == ROOT:
        left |= {name for name in names if name in ("build", "dist", "runs") or name.endswith(".egg-info")}
    return left


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the tree: setuptools leaves its build folders beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "tree", ignore=not_sources)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(folder / "tree")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def package_folders():
    return [
        path
        for path in ROOT.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and not path.name.endswith(".egg-info")
        and path.name not in NOT_IN_THE_PACKAGE
        and path.name != "__pycache__"
    ]


def test_every_file_of_the_package_is_in_the_wheel_and_nothing_else(contents):
    expected = {f"intbert/{name}" for name in ROOT_FILES}
    for folder in package_folders():
        expected |= {
            f"intbert/{path.relative_to(ROOT).as_posix()}"
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    assert {name for name in contents if ".dist-info/" not in name} == expected


def test_every_module_of_the_root_is_known():
    """A new one has to be added above, on purpose: the root is the package."""
    assert {path.name for path in ROOT.glob("*.py")} | {"py.typed"} == ROOT_FILES


def test_packages_of_pyproject_are_those_of_the_tree(project):
    folders = {path.parent for folder in package_folders() for path in folder.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []
    of_the_tree = {".".join(("intbert", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert set(project["tool"]["setuptools"]["packages"]) == of_the_tree | {"intbert"}


def test_the_wheel_has_its_licence_and_command(wheel, contents):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in contents if name.endswith(".dist-info/METADATA")]
        fields = HeaderParser().parsestr(archive.read(metadata).decode())
        (commands,) = [name for name in contents if name.endswith(".dist-info/entry_points.txt")]
        assert "intbert = intbert.cli.main:main" in archive.read(commands).decode()
    assert fields["License-Expression"] == "Apache-2.0"
    assert [name for name in contents if name.endswith("/licenses/LICENSE")]


def test_the_wheel_works_away_from_the_tree(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "import intbert, intbert.targets as targets; print(intbert.__file__); print(targets.get_target('rpi4').cpu)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == [str(tmp_path / "intbert" / "__init__.py"), "cortex-a72"]


def test_the_installed_command_is_the_documented_one():
    (command,) = [point for point in entry_points(group="console_scripts") if point.name == "intbert"]
    assert command.value == "intbert.cli.main:main"


@pytest.mark.parametrize("arguments", [["--help"], ["compile", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    program = f"""
import sys
from intbert.cli.main import main
sys.argv = ["intbert", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stderr.strip() == "[]"


def requirements(project):
    extras = project["project"]["optional-dependencies"]
    lines = [*project["project"]["dependencies"], *(line for lines in extras.values() for line in lines)]
    return [Requirement(line) for line in lines]


def lock():
    lines = (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_tvm_is_pinned_alike_everywhere(project):
    for name, version in PINNED.items():
        (required,) = [item for item in requirements(project) if item.name == name]
        (locked,) = [item for item in lock() if item.name == name]
        assert str(required.specifier) == str(locked.specifier) == f"=={version}"


def test_torch_is_pinned():
    (torch,) = [item for item in lock() if item.name == "torch"]
    assert str(torch) == "torch==2.13.0"


def test_the_lock_pins_exactly_and_holds_every_requirement(project):
    assert all(re.fullmatch(r"==[^,*]+", str(item.specifier)) for item in lock())
    for required in requirements(project):
        versions = [
            str(item.specifier).removeprefix("==")
            for item in lock()
            if canonicalize_name(item.name) == canonicalize_name(required.name)
        ]
        assert versions, f"{required} is not in requirements/lock.txt: run `make lock`"
        assert all(required.specifier.contains(version) for version in versions)


def test_every_direct_requirement_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    lines = [line.strip() for line in table.splitlines() if line.strip().startswith('"')]
    assert lines
    assert [line for line in lines if not re.search(r",\s+# \w", line)] == []
