"""The runtime: loads an artifact and runs it, with no compiler, torch or transformers in the process.

It needs the standard library, NumPy, tokenizers, apache-tvm-ffi and libtvm_runtime.so.
"""

from .model import Model, load

__all__ = ["Model", "load"]
