"""Array type names that signatures share."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int32]
Longs: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]

_HEADERS = threading.Lock()


def distinct(values: Array) -> Array:
    """The different values, ascending, as `np.unique` gives them; by a sort, which is faster than its hash table."""
    ordered = np.sort(values)
    return ordered[np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: ordered.size])]


def frozen(values: Array) -> Array:
    """The same array, read-only: writing to it raises instead of changing somebody else's numbers."""
    if not values.flags.writeable:
        return values
    view = values.view()
    # Not writeable; by position, which is the quickest of the three ways to say so: it is said a thousand times a page.
    view.setflags(False)  # type: ignore[call-arg]
    return view


def mapped(path: Path) -> Array:
    """The array of a `.npy` file, opened without being read; threads may open files at once.

    NumPy parses the header as a Python literal, and CPython 3.11 counts the depth of syntax trees per interpreter
    instead of per thread: two threads that parse at once end, rarely, in a SystemError ("AST constructor
    recursion depth mismatch"). Hence one header at a time. A plain array is returned, because memmap's own slicing is
    slow and kernels take plain read-only arrays as they are; the mapping lives on as its base.

    Raises:
        OSError, ValueError, EOFError: there is no such file, or it is none, or it is truncated.
    """
    with _HEADERS:
        return np.asarray(np.load(path, mmap_mode="r"))
