"""What is derived from an array is made once and goes with it."""

from __future__ import annotations

import gc
import weakref

import numpy as np

from funnel.core.world import PlatformView
from funnel.features import NOTIFICATION_FEATURES, assets_needed, hydrate, memo, model_features
from funnel.features.memo import once_per
from tests.support import fake_batch, mini_world


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


def test_a_world_goes_with_all_that_features_kept_for_it() -> None:
    # A loop makes a world an hour: what keeps one alive, or waits for the garbage collector, soon fills the machine.
    assets = {"tweepcred.score": np.full(30, 50.0, np.float32)}
    names = [name for name in (*model_features(), *NOTIFICATION_FEATURES) if assets_needed((name,)) <= set(assets)]

    def look() -> list[weakref.ref[object]]:
        world = mini_world.__wrapped__()  # one that the cache does not keep
        hydrate(fake_batch([5], viewers=[0], now_h=40.0, view=PlatformView(world, 40.0, assets=assets)), names)
        return [weakref.ref(one) for one in (world, *(index.time_h for index in world._indices.values()))]

    gc.disable()
    try:
        references = look()
        assert len(references) > 20
        assert all(one() is None for one in references)
    finally:
        gc.enable()
