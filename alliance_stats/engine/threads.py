"""One thread for small blocks: BLAS threads cost more than they gain on matrices of a few rows."""

import functools
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


class _Held:
    """Number of callers holding BLAS to one thread; the last restores the initial setting.

    The setting belongs to the process. If each caller restored what it found, fits in several
    Python threads would leave it at one.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.callers = 0
        self.limit: AbstractContextManager[object] | None = None


_HELD = _Held()


@functools.cache
def _controller() -> ThreadpoolController:
    # finding the loaded libraries takes longer than a small fit, so it is done once
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread; the caller's setting is restored at the end.

    What is too small for a double is 0 meanwhile, also where the caller has NumPy raise for it.
    """
    with _HELD.lock:
        if _HELD.callers == 0:
            _HELD.limit = _controller().limit(limits=1, user_api="blas")
            _HELD.limit.__enter__()
        _HELD.callers += 1
    try:
        with np.errstate(under="ignore"):
            yield
    finally:
        with _HELD.lock:
            _HELD.callers -= 1
            if _HELD.callers == 0 and _HELD.limit is not None:
                _HELD.limit.__exit__(None, None, None)
                _HELD.limit = None
