"""What a candidate is made by."""

from __future__ import annotations

from ...schedules.space import space_digest
from ...schedules.tuning_log import Versions
from ...targets.versions import installed_versions

DIGITS = 16
"""Of the space's digest."""


def versions() -> Versions:
    """The installed TVM, its FFI and its LLVM, and the version of the tuning spaces."""
    from tvm.target.codegen import llvm_version_major

    installed = {name: str(version) for name, version in installed_versions().items()}
    return Versions(
        installed["apache-tvm"], installed["apache-tvm-ffi"], str(llvm_version_major()), space_digest()[:DIGITS]
    )
