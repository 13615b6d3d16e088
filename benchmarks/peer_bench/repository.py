"""Where things lie in this repository. Importing it makes its ``tests`` importable: they are no part of the package."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
ROOT = BENCHMARKS.parent
BUILD = ROOT / "build" / "bench"
VENV = ROOT / ".venv-peers"
SENTENCES = BENCHMARKS / "sentences.txt"

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))
