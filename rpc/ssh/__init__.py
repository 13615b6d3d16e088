"""Boards over ssh: paramiko, in a process of its own."""

from .connection import SshConnection
from .forgetting import forget_key
from .login import Login

__all__ = ["Login", "SshConnection", "forget_key"]
