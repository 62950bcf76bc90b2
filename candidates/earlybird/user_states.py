"""How active a viewer has been lately, as the state by which the index looks back one day or two.

twitter/the-algorithm names the states (Light, MediumNonTweeter, MediumTweeter, NearZero, New, VeryLight look back 48 h:
home-mixer/…/scored_tweets/query_transformer/TimelineRankerInNetworkQueryTransformer.scala) and not how they are told
apart. Here, by the share of the last 28 days (or of those that the log covers) on which the viewer was shown something,
engaged or wrote:

    NearZero 0 · VeryLight < 1/7 · Light < 3/7 · Medium < 6/7 · Heavy otherwise;  New: account younger than 30 days

Medium and Heavy viewers are Tweeters if they wrote anything in that time.
"""

from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Bools, Doubles, Ints
from funnel.core.world import PlatformView

STATES: tuple[str, ...] = (
    "New", "NearZero", "VeryLight", "Light", "MediumNonTweeter", "MediumTweeter", "HeavyNonTweeter", "HeavyTweeter",
)  # fmt: skip
NEW, NEAR_ZERO, VERY_LIGHT, LIGHT, MEDIUM, _, HEAVY, _ = range(len(STATES))
LOOKS_BACK_FURTHER = np.arange(len(STATES)) < HEAVY
DAYS, DAY_H, NEW_H = 28, 24.0, 30 * 24.0
# Least shares of active days of VeryLight (any), Light, Medium and Heavy.
SHARES = (0.0, 1 / 7, 3 / 7, 6 / 7)
_EVENTS = (("impression", "viewer"), ("public", "viewer"), ("tweet", "author"))


def user_states(view: PlatformView, viewer: Ints, now_h: Doubles) -> Array:
    """int8 [n]: the place in STATES of each viewer at its own moment."""
    active = np.zeros((viewer.size, DAYS), np.bool_)
    edges = now_h[:, None] - DAY_H * np.arange(DAYS + 1)
    slots = np.repeat(viewer.astype(np.int64), DAYS + 1)
    wrote: Bools = np.zeros(viewer.size, np.bool_)
    for what, by in _EVENTS:
        index = view.events(what, by=by)
        before = index.count(slots, edges.reshape(-1)).reshape(edges.shape)
        active |= before[:, :-1] > before[:, 1:]
        if what == "tweet":
            wrote = before[:, 0] > before[:, -1]
    days = np.clip((now_h - _log_begins(view)) / DAY_H, 1.0, DAYS)
    share = np.minimum(active.sum(axis=1) / days, 1.0)
    state = np.full(viewer.size, NEAR_ZERO)
    for code, least in zip((VERY_LIGHT, LIGHT, MEDIUM, HEAVY), SHARES, strict=True):
        state[(share >= least) & (share > 0)] = code
    state += (state >= MEDIUM) & wrote
    return np.where(now_h - view.users["created_h"][viewer] < NEW_H, NEW, state).astype(np.int8)


def _log_begins(view: PlatformView) -> float:
    """The moment of the oldest event of the log; the view's own if there is none."""
    tables = (view.impressions, view.engagements, view.tweets)
    return min((float(table["time_h"][0]) for table in tables if table["time_h"].size), default=view.now_h)
