"""Timelines that go on without a funnel: in each tick the pages of the logging policy (`synthetic.log`)."""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Ints
from funnel.core.rng import key
from funnel.core.tables import BLOCK, MUTE, RETWEET
from funnel.core.world import WorldTables
from synthetic.log import (
    MEMORY,
    POPULARITY_HALF_LIFE_H,
    WINDOW_H,
    bar_authors,
    fresh_state,
    pools_at,
    previous_by_author,
)
from synthetic.pages import fill_pages


def policy_pages(
    world: WorldTables, viewer: Ints, now_h: float, *, arms: tuple[int, int, int], seed: int
) -> dict[str, Array]:
    """New rows of `impressions`: a page at one moment for each of some viewers (ascending), from the tables alone."""
    users, tweets, following = world.table("users"), world.table("tweets"), world.following
    # A kernel that updates its arguments takes all of them writable.
    author, written_h, suspended = np.array(tweets["author"]), np.array(tweets["time_h"]), np.array(users["suspended"])
    state = fresh_state(suspended.size, author.size)
    state.newest[author] = np.arange(author.size)
    state.written[0] = author.size
    _recall(world, viewer, state.shown, state.shown_count)
    feedback = world.table("feedback")
    barring = np.isin(feedback["kind"], (BLOCK, MUTE))
    bar_authors(state, feedback["user"][barring], feedback["author"][barring], suspended.size)
    recent = np.arange(np.searchsorted(written_h, now_h - WINDOW_H), author.size)
    engaged = world.index("public", "tweet")
    state.popularity[recent] = engaged.decayed(recent, np.full(recent.size, now_h), half_life_h=POPULARITY_HALF_LIFE_H)
    public = ~(users["protected"] | users["suspended"])[author] & (tweets["kind"] != RETWEET) & ~tweets["exclusive"]
    before = world.table("impressions")["request"]
    first = int(before[-1]) + 1 if before.size else 0
    tweet, arm, propensity = fill_pages(
        np.array(viewer),
        np.full(viewer.size, now_h),
        first + np.arange(viewer.size) + 1,
        author,
        written_h,
        previous_by_author(author),
        following.offsets,
        following.targets,
        following.time_h,
        suspended,
        *pools_at(state, written_h, public, now_h),
        state.barred,
        state.has_barred,
        np.array(arms, np.int64),
        WINDOW_H,
        np.uint64(key(seed, "pages")),
        state.newest,
        state.written,
        state.shown,
        state.shown_count,
        state.mark,
    )
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
