"""Places of a log that were filled by lot, and among what: what off-policy estimates stand on.

A timeline has several explored places, whose tweets the log names: each of the m that were drawn stood with the same
chance in the first of them. A notification has one place, and the log names one tweet: the one that was sent. But the
pool that it was drawn from is known, all public tweets of the last two days (no retweets, nothing by suspended or
protected accounts or for subscribers, by the viewer or by whom the viewer has barred, and nothing sent before). Draw
m - 1 others from it: given the m, the lot might as well have sent any other of them, with chance 1 / m.

`propensity` says whether that is the pool. With N public tweets, propensity = P(arm) / N, so that the sum of
1 / (N propensity) over the explored decisions estimates the number of all of them (Horvitz & Thompson 1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from funnel.core import rng
from funnel.core.arrays import Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError
from funnel.core.kernels.grouping import pair_keys
from funnel.core.products import TIMELINE, Product
from funnel.core.tables import EXPLORED, open_to_all
from funnel.core.world import PlatformView
from funnel.features.base import given

WINDOW_H = 48.0  # how far back the exploring arm goes (synthetic.log)
DRAWN = 4  # candidates for a place that has one: a choice is checked by one log entry in four
_ATTEMPTS = 4 * DRAWN  # at tweets that may be sent; all but a few of the pool may
POOL_FITS = (0.8, 1.25)  # the sum above over the number of decisions; the noise is 1 % with 1,000 explored ones


@dataclass(frozen=True)
class LoggedChoices:
    """Candidates for one explored place of each of P logged pages.

    rows: int64 [n], entries of the product's log, page by page, -1 for a tweet that it does not name; tweet: int32 [n];
    offsets: int64 [P + 1] of the pages into them; first: int64 [P], of each page the candidate that did stand there (of
    several explored places, in the topmost).
    """

    rows: Longs
    tweet: Ints
    offsets: Longs
    first: Longs
    view: PlatformView
    product: Product = TIMELINE

    @property
    def page(self) -> Longs:
        """int64 [n]: the page of each candidate."""
        return np.repeat(np.arange(self.first.size), np.diff(self.offsets))

    @property
    def place(self) -> Longs:
        """int64 [P]: the entry of the log whose place is to be filled."""
        return self.rows[self.first]

    def requests(self, begin: int, end: int, view: PlatformView, *, seed: int = 0) -> Requests:
        """Who was asked for, and when, by some of the pages; view: what is known of it."""
        log, some = self.view.shown(self.product), self.place[begin:end]
        return Requests(log["viewer"][some], log["time_h"][some], view, seed)


def logged_choices(
    view: PlatformView,
    product: Product = TIMELINE,
    *,
    since_h: float = -np.inf,
    until_h: float = np.inf,
    limit: int,
    seed: int,
) -> LoggedChoices:
    """At most `limit` pages between two moments with an explored place for which there are two or more candidates.

    ConfigError if a notification's propensities are not those of the pool above.
    """
    rows = explored_rows(view, product, since_h=since_h, until_h=until_h, limit=limit, seed=seed)
    if product is not TIMELINE:
        return _with_others(view, product, rows, seed)
    log = view.shown(product)
    request = log["request"][rows]
    begins = np.flatnonzero(np.r_[True, request[1:] != request[:-1]][: rows.size])
    offsets = np.append(begins, rows.size).astype(np.int64)
    order = np.lexsort((log["position"][rows], request))  # requests ascend, as their rows do
    return LoggedChoices(rows, log["tweet"][rows], offsets, order[offsets[:-1]].astype(np.int64), view)


def explored_rows(
    view: PlatformView,
    product: Product = TIMELINE,
    *,
    since_h: float = -np.inf,
    until_h: float = np.inf,
    limit: int,
    seed: int,
) -> Longs:
    """int64 [n], ascending: explored entries of the log, of at most `limit` pages; of timelines, those with several."""
    log = view.shown(product)
    begin, end = np.searchsorted(log["time_h"], (since_h, until_h), side="left")
    rows = begin + np.flatnonzero(log["arm"][begin:end] == EXPLORED)
    page = log["request"][rows] if product is TIMELINE else rows
    pages, counts = np.unique(page, return_counts=True)
    if product is TIMELINE:
        pages = pages[counts > 1]
    if pages.size > limit:
        pages = np.sort(rng.stream(seed, "off-policy pages").choice(pages, limit, replace=False))
    found: Longs = rows[np.isin(page, pages)].astype(np.int64)
    return found


class Pool:
    """The public tweets of a world, in order of time, from which notifications are drawn by lot."""

    def __init__(self, view: PlatformView) -> None:
        self.tweets = np.flatnonzero(open_to_all(view.users, view.tweets)).astype(np.int32)
        self._time_h = view.tweets["time_h"][self.tweets]

    def at(self, now_h: Doubles) -> tuple[Longs, Longs]:
        """(low, high) int64: where the pool of each moment stands in `tweets`; it is made at the full hour before."""
        hour = np.floor(now_h)
        low, high = (np.searchsorted(self._time_h, when) for when in (hour - WINDOW_H, hour))
        return low.astype(np.int64), high.astype(np.int64)

    def has(self, tweet: Ints, now_h: Doubles) -> Bools:
        """bool [n]: whether a tweet is in the pool of a moment, whoever is asked."""
        low, high = self.at(now_h)
        place = np.searchsorted(self.tweets, tweet)
        known = self.tweets[np.minimum(place, max(self.tweets.size - 1, 0))] == tweet if self.tweets.size else False
        return np.asarray((place >= low) & (place < high) & known, np.bool_)


def check_propensities(view: PlatformView, product: Product) -> None:
    """ConfigError unless the log of notifications has propensities that fit the pool."""
    log = view.shown(product)
    explored = log["arm"] == EXPLORED
    propensity: Floats = log["propensity"][explored]
    if not propensity.size:
        return
    if not (np.isfinite(propensity) & (propensity > 0)).all():
        raise ConfigError(f"log of {product.pages}", "has explored entries without a propensity — nothing weighs them")
    low, high = Pool(view).at(log["time_h"][explored])
    counted = float((1.0 / np.maximum((high - low) * propensity.astype(np.float64), 1e-12)).sum())
    told = int(np.isin(log["arm"], np.arange(EXPLORED + 1)).sum())
    if not POOL_FITS[0] <= counted / told <= POOL_FITS[1]:
        what = f"has propensities of another lot: they count {counted:,.0f} decisions, and there are {told:,}"
        raise ConfigError(f"log of {product.pages}", f"{what} — the pool is all public tweets of {WINDOW_H:.0f} hours")


def _with_others(view: PlatformView, product: Product, rows: Longs, seed: int) -> LoggedChoices:
    """Beside each of these entries what else the lot might have sent."""
    check_propensities(view, product)
    log, pool = view.shown(product), Pool(view)
    viewer, sent, now_h = (log[name][rows] for name in ("viewer", "tweet", "time_h"))
    low, high = pool.at(now_h)
    draw = rng.uniform(seed, "off-policy others", rows[:, None], np.arange(_ATTEMPTS))
    place = low[:, None] + (draw * (high - low)[:, None]).astype(np.int64)
    others = pool.tweets[np.minimum(place, pool.tweets.size - 1)] if pool.tweets.size else np.empty((rows.size, 0))
    tried = np.column_stack([sent, others]).astype(np.int32)
    fine = _may_be_sent(view, np.repeat(viewer, tried.shape[1]), tried.ravel(), np.repeat(now_h, tried.shape[1]))
    fine = fine.reshape(tried.shape) & (high > low)[:, None]
    fine[:, 0] = True
    for j in range(1, tried.shape[1]):  # a tweet counts once, and no more than are wanted
        fine[:, j] &= ~((tried[:, :j] == tried[:, [j]]) & fine[:, :j]).any(axis=1) & (fine[:, :j].sum(axis=1) < DRAWN)
    fine &= fine.sum(axis=1, keepdims=True) > 1
    counts = fine.sum(axis=1)[fine[:, 0]]
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    entry = np.full(tried.shape, -1, np.int64)
    entry[:, 0] = rows
    return LoggedChoices(entry[fine], tried[fine], offsets, offsets[:-1], view, product)


def _may_be_sent(view: PlatformView, viewer: Ints, tweet: Ints, now_h: Doubles) -> Bools:
    """bool [n]: not the viewer's own, nor by somebody whom the viewer has blocked or muted, nor sent before."""
    author, index = view.tweets["author"][tweet], view.events("notification", by="viewer_tweet")
    barred = given(view, "block", viewer, author, now_h) | given(view, "mute", viewer, author, now_h)
    fresh = index.count(index.slots(pair_keys(viewer, tweet)), now_h) == 0
    return np.asarray((author != viewer) & ~barred & fresh, np.bool_)
