"""Arrays on huge pages, for those that are read at random.

A page of 4 kB is found through a table of some thousand entries in the processor, so that random reads of more than
some 16 MB wait for the page table too; a page of 2 MB covers 512 times as much. NumPy asks for them for arrays above
4 MB, but memory that was in use before keeps its small pages: these are mappings of their own.
"""

from __future__ import annotations

import math
import mmap
import sys

import numpy as np
from numpy.typing import DTypeLike

from funnel.core.arrays import Array

HUGE_PAGE = 1 << 21  # bytes


def large(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An array of zeros of the shape; of 1 MB and more it begins at a huge page, where the system has them."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if sys.platform != "linux" or size < HUGE_PAGE // 2:
        return np.zeros(shape, dtype)
    room = mmap.mmap(-1, size + 2 * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    room.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(room, np.uint8)
    first = -whole.__array_interface__["data"][0] % HUGE_PAGE
    return np.asarray(whole[first : first + size].view(dtype).reshape(shape))
