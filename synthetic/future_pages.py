"""Timelines that go on without a funnel: in each tick the pages of the logging policy (`synthetic.log`)."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Ints
from funnel.core.rng import key
from funnel.core.tables import BLOCK, MUTE
from funnel.core.world import WorldTables
from synthetic.log import (
    MEMORY,
    POPULARITY_HALF_LIFE_H,
    WINDOW_H,
    Town,
    bar_authors,
    fresh_state,
    pages_at,
)


def policy_pages(
    world: WorldTables, viewer: Ints, now_h: float, *, arms: tuple[int, int, int], seed: int
) -> dict[str, Array]:
    """New rows of `impressions`: a page at one moment for each of some viewers (ascending), from the tables alone."""
    town = Town.of(world)
    state = fresh_state(town.suspended.size, town.author.size)
    state.newest[town.author] = np.arange(town.author.size)
    state.written[0] = town.author.size
    _recall(world, viewer, state.shown, state.shown_count)
    feedback = world.table("feedback")
    barring = np.isin(feedback["kind"], (BLOCK, MUTE))
    bar_authors(state, feedback["user"][barring], feedback["author"][barring], town.suspended.size)
    recent = np.arange(np.searchsorted(town.written_h, now_h - WINDOW_H), town.author.size)
    engaged = world.index("public", "tweet")
    state.popularity[recent] = engaged.decayed(recent, np.full(recent.size, now_h), half_life_h=POPULARITY_HALF_LIFE_H)
    before = world.table("impressions")["request"]
    first = int(before[-1]) + 1 if before.size else 0
    asked = np.array(viewer), np.full(viewer.size, now_h), first + np.arange(viewer.size) + 1
    tweet, arm, propensity = pages_at(state, town, *asked, now_h, arms=arms, state_key=key(seed, "pages"))
    page, place = np.nonzero(tweet >= 0)
    return {
        "viewer": viewer[page],
        "tweet": tweet[page, place],
        "time_h": np.full(page.size, now_h),
        "position": place.astype(np.int16),
        "request": (first + np.cumsum(place == 0) - 1).astype(np.int32),
        "arm": arm[page, place],
        "propensity": propensity[page, place],
    }


def _recall(world: WorldTables, viewer: Ints, shown: Ints, count: Array) -> None:
    """Fill in the tweets last shown to some viewers, up to MEMORY of each."""
    log, tweet = world.index("impression", "viewer"), world.table("impressions")["tweet"]
    end = log.offsets[viewer + 1]
    size = np.minimum(end - log.offsets[viewer], MEMORY)
    count[viewer] = size
    of = np.repeat(np.arange(viewer.size), size)
    inside = np.arange(of.size) - np.repeat(np.cumsum(size) - size, size)
    shown[viewer[of], inside] = tweet[log.row[(end - size)[of] + inside]]
