"""The peers' own venv: other runtimes never weigh on this project's users."""

import hashlib
import os
import sys
from pathlib import Path

from .commands import run_logged
from .errors import BenchmarkError

PYTHON_NEEDED = (3, 11)


def peers_python(venv: Path, requirements: Path, log: Path) -> Path:
    """The interpreter of a venv that has exactly the pinned peers; made anew when it has not.

    Raises:
        BenchmarkError: Python is too old for the peers, or pip failed.
    """
    python = venv / "bin" / "python"
    stamp = venv / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    if sys.version_info < PYTHON_NEEDED:
        needed = ".".join(map(str, PYTHON_NEEDED))
        raise BenchmarkError(f"the pinned peers need Python {needed} or newer: make .venv with one and run again")
    run_logged([sys.executable, "-m", "venv", "--clear", venv], log)
    run_logged([python, "-m", "pip", "install", "-r", requirements], log)
    stamp.write_text(wanted)
    return python


def worker_environment(package_root: Path, threads: int) -> dict[str, str]:
    """The environment of a process that imports ``peer_bench`` and keeps to so many threads."""
    return {
        **os.environ,
        "PYTHONPATH": str(package_root),
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
