"""One thread for small blocks: BLAS threads cost more than they bring on matrices of a few rows."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]


@functools.cache
def _controller() -> ThreadpoolController:
    # finding the loaded libraries takes longer than a small fit, so it is done once
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread; the caller's setting comes back at the end."""
    with _controller().limit(limits=1, user_api="blas"):
        yield
