"""Which wheels a board needs: chosen, downloaded and made on the host, because a board may have no internet."""

from .platform import BoardPlatform
from .wheelhouse import WheelFile, Wheelhouse, prepare_wheels

__all__ = ["BoardPlatform", "WheelFile", "Wheelhouse", "prepare_wheels"]
