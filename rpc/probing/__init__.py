"""What a board is: a shell script that asks it, what it answered, and whether the runtime can run there."""

from .facts import BoardFacts, ClockPolicy, CoreKind, CudaFacts, Python
from .fitness import best_python, problems, require_fit
from .gpu import driver_release, gpu_problem, usable_gpu
from .parse import parse_report

__all__ = [
    "BoardFacts",
    "ClockPolicy",
    "CoreKind",
    "CudaFacts",
    "Python",
    "best_python",
    "driver_release",
    "gpu_problem",
    "parse_report",
    "problems",
    "require_fit",
    "usable_gpu",
]
