"""The virtual board behind ssh, which ``tests/devices`` makes."""

from ...devices.conftest import ssh_boards, userland

__all__ = ["ssh_boards", "userland"]
