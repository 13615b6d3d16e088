"""A model in a folder with all that it needs: ``import model; model.load()(["some text"])``.

It stands at the top of a bundle that ``intbert deploy`` made, and is in no package there. Even Pythons that cannot
use the bundle have to understand this file, so that they can say so.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROGRAMS = ("run", "serve")


def load(threads: "int | None" = None) -> Any:
    """The model; call it with a list of texts, or of pairs of texts, and it returns an array of floats.

    ``threads``: how many work on one text; by default one for each core. Raises intbert.errors.IntbertError when the
    artifact is damaged, or this processor cannot run it.
    """
    return _module("intbert.compiler.runtime").load(HERE / "artifact", threads)


def _module(name: str) -> Any:
    """The module ``name`` of the bundle's own packages."""
    packages = str(HERE / "runtime")
    if packages not in sys.path:
        sys.path.insert(0, packages)
    return importlib.import_module(name)


def _refusal() -> "str | None":
    """Why this Python cannot use the bundle; None when it can."""
    wanted = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))
    here = {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "arch": os.uname().machine if sys.maxsize > 1 << 32 else "32-bit",
    }
    if all(wanted[name] == value for name, value in here.items()):
        return None
    return (
        f"the bundle in {HERE} is for Python {wanted['python']} on {wanted['arch']}, "
        f"this is Python {here['python']} on {here['arch']}; use that Python, or deploy to this machine"
    )


_reason = _refusal()
if __name__ == "__main__":
    _name = sys.argv[1] if len(sys.argv) > 1 else ""
    if _name not in PROGRAMS:
        sys.exit("start ./run or ./serve instead")
    if _reason is not None:
        sys.exit(f"{_name}: {_reason}")
    sys.exit(_module(f"intbert.rpc.bundle.{_name}").main(HERE, load, sys.argv[2:]))
if _reason is not None:
    raise ImportError(_reason)
