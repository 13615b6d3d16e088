"""How many threads a model runs on.

TVM keeps one pool of threads for each calling thread, and a pool never grows beyond the size that it started
with. So a count is set on the pool of whoever calls; where that pool is too small already, the call is handed
to a thread of our own with a pool of the right size. The calling thread is one of the threads that work.

Threads are not bound to cores unless ``TVM_BIND_THREADS=1`` is set: TVM would bind the caller as well, and
knows nothing of the cores that this process may use.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ...errors import InputError
from .library import find_library, tvm_runtime

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

_BIG_CORES = 1  # TVM's ThreadGroup::AffinityMode::kBig, its default
_SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"

_configured = threading.local()


def default_threads() -> int:
    """One thread for each physical core that this process may use."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = set()
    for cpu in allowed:
        try:
            cores.add(Path(_SIBLINGS.format(cpu)).read_text(encoding="ascii"))
        except OSError:  # no topology, as in some emulators: count it as a core of its own
            cores.add(str(cpu))
    return len(cores)


def check_threads(threads: int | None) -> int:
    """``threads``, or the default for None; raises InputError for less than one."""
    if threads is None:
        return default_threads()
    if threads < 1:
        raise InputError(f"threads is {threads}; it must be at least 1")
    return threads


class Threads:
    """Runs functions with TVM's parallel loops on ``count`` threads."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._own: ThreadPoolExecutor | None = None

    def run(self, function: Callable[[], T]) -> T:
        """Calls ``function`` and returns its result."""
        if _configure(self.count):
            return function()
        if self._own is None:
            from concurrent.futures import ThreadPoolExecutor

            self._own = ThreadPoolExecutor(
                1, thread_name_prefix="intbert", initializer=_configure, initargs=(self.count,)
            )
        return self._own.submit(function).result()


def _configure(count: int) -> bool:
    """Sets the calling thread's pool to ``count`` threads; False when it started with fewer."""
    if getattr(_configured, "count", None) == count:
        return True
    os.environ.setdefault("TVM_BIND_THREADS", "0")
    ffi = tvm_runtime()
    count_threads = ffi.get_global_func("runtime.NumThreads")
    _set_max_concurrency(count)
    count_threads()  # starts the pool, with as many threads as just said, unless it has started already
    ffi.get_global_func("runtime.config_threadpool")(_BIG_CORES, count)
    _set_max_concurrency(count)  # configuring the pool resets it, and with 1 parallel loops do not use the pool
    _configured.count = count_threads()
    return _configured.count == count


def _set_max_concurrency(count: int) -> None:
    """TVM's limit for the calling thread, which nothing but this C++ function sets at run time."""
    function = ctypes.CDLL(str(find_library()))["_ZN3tvm7runtime9threading17SetMaxConcurrencyEi"]
    function.restype = None
    function(ctypes.c_int(count))
