from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "tvm", "sklearn", "scipy")


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = "import sys, intbert.quantization, intbert.quantization.evaluation; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = ran.stdout.split()
    assert "intbert.quantization.pipeline" in loaded
    assert not set(HEAVY) & set(loaded)
