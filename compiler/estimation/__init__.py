"""What a kernel costs, as far as its code tells: nothing is run, and no board is needed."""

from .estimate import Estimate, estimate_kernel
from .meters import Meter, best_meter

__all__ = ["Estimate", "Meter", "best_meter", "estimate_kernel"]
