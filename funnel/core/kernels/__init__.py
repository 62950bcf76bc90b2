"""Compiled loops (numba) that several packages share.

A `kernel` is called from Python: its array arguments are passed contiguous and read-only, so that it
is compiled once per dtype and not once more for every mixture of writable, frozen, sliced and
memory-mapped arrays; it returns new arrays. A `helper` is called from kernels. Both release the GIL
and are cached on disk; each costs about a second when it is compiled for the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


def kernel(function: Callable[P, T]) -> Callable[P, T]:
    """Compile a loop that Python calls with positional arguments."""
    compiled = cast(Callable[..., T], numba.njit(cache=True, nogil=True, error_model="numpy")(function))

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return compiled(*map(_read_only, args), **kwargs)

    return call


def helper(function: Callable[P, T]) -> Callable[P, T]:
    """Compile a function that kernels call."""
    return cast(Callable[P, T], numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def _read_only(argument: object) -> object:
    if type(argument) is np.ndarray and (flags := argument.flags).c_contiguous:
        if not flags.writeable:
            return argument
        view = argument.view()
    elif isinstance(argument, np.ndarray):
        view = np.ascontiguousarray(argument).view(np.ndarray)
    else:
        return argument
    view.setflags(False)  # type: ignore[call-arg]  # not writeable
    return view
