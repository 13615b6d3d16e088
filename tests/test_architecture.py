"""Imports go one way: cli -> rpc -> compiler -> schedules -> targets; quantization -> the model's types."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parents[1]

# Part -> what it may import of the others: a part, or one module of it. Each may import itself.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "targets": {"errors"},
    "schedules": {"errors", "targets"},
    "compiler": {"errors", "targets", "schedules"},
    "rpc": {"errors", "targets", "schedules", "compiler"},
    "quantization": {
        "errors",
        "compiler.model",
        "compiler.packing",
        "compiler.lowering",
        "compiler.graph",
        "compiler.oracle",
        "compiler.oracle_model",
    },
    "cli": {"errors", "targets", "schedules", "compiler", "rpc", "quantization", ""},
    # The root's __init__.py, the public API.
    "": {"errors", "targets", "schedules", "compiler", "rpc", "quantization"},
}
PARTS = sorted(part for part in ALLOWED if part not in ("", "errors"))


def module_name(path: Path, root: Path) -> str:
    """Return the dotted name inside the package: ``compiler.build``, or '' for the root's __init__."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path) -> Iterator[Path]:
    yield from sorted(root.glob("*.py"))
    for part in PARTS:
        yield from sorted((root / part).rglob("*.py"))


def imported_modules(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name inside the package of every module of ours that ``path`` imports, anywhere in it.

    ``from a import b`` may mean the module a.b or a name in a: a.b is yielded when such a module exists.
    """
    package = list(path.relative_to(root).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, _, inside = alias.name.partition(".")
                if top == "intbert":
                    yield node.lineno, inside
        elif isinstance(node, ast.ImportFrom):
            named = (node.module or "").split(".") if node.module else []
            if node.level:
                base = [*package[: len(package) - node.level + 1], *named]
            elif named and named[0] == "intbert":
                base = named[1:]
            else:
                continue
            for alias in node.names:
                inner = root.joinpath(*base, alias.name)
                is_module = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
                yield node.lineno, ".".join([*base, alias.name] if is_module else base)


def is_allowed(importer: str, imported: str) -> bool:
    part = importer.partition(".")[0]
    if imported.partition(".")[0] == part:
        return True
    return any(imported == allowed or (allowed and imported.startswith(f"{allowed}.")) for allowed in ALLOWED[part])


def violations(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}:{line} imports {imported or 'the root'}"
        for path in sources(root)
        for line, imported in imported_modules(path, root)
        if not is_allowed(module_name(path, root), imported)
    ]


def test_imports_point_one_way():
    assert violations(ROOT) == []


def test_every_part_is_looked_at():
    assert {module_name(path, ROOT).partition(".")[0] for path in sources(ROOT)} == set(ALLOWED)
    assert sorted(path.parent.name for path in ROOT.glob("*/__init__.py")) == PARTS


def names_the_package(node: ast.AST) -> TypeGuard[ast.stmt]:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] == "intbert" for alias in node.names)
    if isinstance(node, ast.ImportFrom) and not node.level:
        return (node.module or "").partition(".")[0] == "intbert"
    return False


def test_the_package_imports_itself_relatively():
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(ROOT)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if names_the_package(node)
    ]
    assert absolute == []


@pytest.mark.parametrize(
    ("file", "line", "forbidden"),
    [
        pytest.param("targets/a.py", "from ..schedules import b", True, id="targets-to-schedules"),
        pytest.param("targets/a.py", "from ..errors import E", False, id="targets-to-errors"),
        pytest.param("targets/a.py", "from .c import d", False, id="within-targets"),
        pytest.param("schedules/x86/a.py", "from ...compiler.build import b", True, id="deep-to-compiler"),
        pytest.param("schedules/x86/a.py", "from ...targets import b", False, id="deep-to-targets"),
        pytest.param("compiler/a.py", "from .. import rpc", True, id="compiler-to-rpc-from-root"),
        pytest.param("compiler/a.py", "from ..quantization import b", True, id="compiler-to-quantization"),
        pytest.param("compiler/a.py", "def f():\n    from ..cli import b", True, id="lazy-import-of-cli"),
        pytest.param("compiler/a.py", "import intbert.rpc", True, id="absolute"),
        pytest.param("compiler/a.py", "from .. import __version__", True, id="the-root"),
        pytest.param("compiler/a.py", "import tvm", False, id="foreign"),
        pytest.param("quantization/a.py", "from ..compiler.model import M", False, id="model-types"),
        pytest.param("quantization/a.py", "from ..compiler import model", False, id="model-module"),
        pytest.param("quantization/a.py", "from ..compiler.operators import b", True, id="operators"),
        pytest.param("rpc/a.py", "from ..cli import b", True, id="rpc-to-cli"),
        pytest.param("cli/a.py", "from ..rpc import b", False, id="cli-to-rpc"),
        pytest.param("cli/a.py", "from .. import __version__", False, id="cli-to-the-root"),
        pytest.param("__init__.py", "from .cli import b", True, id="root-to-cli"),
        pytest.param("__init__.py", "from .compiler import b", False, id="root-to-compiler"),
    ],
)
def test_the_check_itself(tmp_path, file, line, forbidden):
    """On a small tree with one import: is it found when it is forbidden, and let pass when it is not?"""
    for part in PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "__init__.py").touch()
    (tmp_path / "compiler" / "model.py").touch()
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert bool(violations(tmp_path)) == forbidden
