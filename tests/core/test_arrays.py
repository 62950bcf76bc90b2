"""Arrays in files."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from funnel.core.arrays import frozen, mapped


class _Cyclic:
    """What only the garbage collector frees, and whose end lets another thread go on."""

    def __init__(self) -> None:
        self.myself = self

    def __del__(self) -> None:
        sum(range(50))


def test_threads_open_files_at_once(tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    np.save(path, np.arange(187.0))

    def open_often(_: int) -> float:
        return sum(float(mapped(path)[-1]) for _ in range(400) if _Cyclic())

    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)  # as rare as it is otherwise, CPython's error shows at once under these two
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(open_often, range(8))) == [400 * 186.0] * 8
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    np.save(path, np.arange(187.0))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="mmap length"):
        mapped(path)


def test_what_is_frozen_cannot_be_written_and_the_original_still_can() -> None:
    values = np.arange(3)
    same = frozen(values)
    with pytest.raises(ValueError, match="read-only"):
        same[0] = 7
    values[0] = 5
    assert same.tolist() == [5, 1, 2]
    assert frozen(same) is same
