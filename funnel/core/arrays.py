"""Array type names that signatures share."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int32]
Longs: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]


def distinct(values: Array) -> Array:
    """The different values, ascending, as `np.unique` gives them; by a sort, which is faster than its hash table."""
    ordered = np.sort(values)
    return ordered[np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: ordered.size])]


def frozen(values: Array) -> Array:
    """The same array, read-only: writing to it raises instead of changing somebody else's numbers."""
    view = values.view()
    view.flags.writeable = False
    return view
