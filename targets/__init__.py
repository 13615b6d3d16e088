"""What a machine is: presets by name, features of its instruction set, how to link for it."""

from .host import HOST
from .presets import get_target, list_targets, user_presets_file
from .target import Target

__all__ = ["HOST", "Target", "get_target", "list_targets", "user_presets_file"]
