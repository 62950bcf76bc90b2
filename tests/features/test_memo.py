"""What is derived from an array is made once and goes with it."""

from __future__ import annotations

import gc

import numpy as np

from funnel.features import memo
from funnel.features.memo import once_per


def test_a_derived_thing_is_made_once_per_anchor_and_name() -> None:
    one, other = np.zeros(3), np.zeros(3)
    made: list[int] = []

    def build() -> int:
        made.append(1)
        return len(made)

    assert [once_per(one, "a", build), once_per(one, "a", build)] == [1, 1]
    assert [once_per(one, "b", build), once_per(other, "a", build)] == [2, 3]


def test_a_derived_thing_goes_with_its_anchor() -> None:
    anchor = np.zeros(3)
    key = id(anchor)
    once_per(anchor, "a", object)
    assert key in memo._KEPT
    del anchor
    gc.collect()
    assert key not in memo._KEPT
