"""The Python API at the root of the package."""

from __future__ import annotations

import json
import subprocess
import sys

import intbert
import pytest


@pytest.mark.parametrize("name", intbert.__all__)
def test_every_name_is_there(name):
    assert getattr(intbert, name) is not None
    assert name in dir(intbert)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        intbert.lod  # noqa: B018


def test_importing_loads_nothing_heavy():
    code = "import json, sys, intbert; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "tvm_ffi", "tvm", "torch"} & set(json.loads(done.stdout))
