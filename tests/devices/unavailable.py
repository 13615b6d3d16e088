"""Why a virtual board cannot be had on this machine."""


class UnavailableError(Exception):
    """Something that the virtual board needs is not there; the message says what. Tests skip, or fail."""
