"""What feeds the index as the clock moves: tweets with features fixed at creation, and counts of what happens to them.

twitter/the-algorithm, src/java/com/twitter/search/README.md: the Index Ingester writes static features when a tweet is
made, the Signal Ingester aggregates engagements and writes counts through the Feature Update Service. How it decays and
weighs them is not published; here:

    decayed(t)  = sum of 2^(-(t - t_e) / half_life) over the engagements e before t
    weighted    = sum of the engager's reputation / 100 (goodwill value 17 if unknown)
    fake        = number of engagements by accounts labelled as spammers

A count stops at 50,000,000, the largest number that the index's 8-bit code of counts knows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from candidates.earlybird.index import EarlybirdIndex
from candidates.earlybird.kernels import ANSWERS, ANSWERS_ROOT, PLAIN, RETWEETS
from candidates.earlybird.users import GOODWILL, UserTable
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.core.errors import DataError
from funnel.core.tables import QUOTE, REPLY, RETWEET
from funnel.core.world import Columns, PlatformView

# Features of a tweet that never change; the index keeps them as the table has them.
STATIC: tuple[str, ...] = (
    "kind", "parent", "language", "has_image", "has_link", "video_s", "hashtag_count", "mention_count", "length",
    "sensitive", "exclusive",
)  # fmt: skip
# Engagements that are counted; a quote is a tweet of its own, so that it comes with the tweets.
COUNTED: tuple[str, ...] = ("favorite", "retweet", "reply", "quote")
MAX_COUNT = 50_000_000
# The real-time aggregates of twitter/the-algorithm (timelines/prediction/common/aggregates) mostly have this half-life.
HALF_LIFE_H = 0.5


def indexed(tweets: Columns, first: int, end: int) -> dict[str, Array]:
    """The columns with which the tweets first … end − 1 are indexed; tweets: of a view, parents come before."""
    rows = {name: tweets[name][first:end] for name in ("author", "time_h", *STATIC)}
    rule, reference = np.zeros(end - first, np.int8), np.full(end - first, -1, np.int32)
    kind, parent = rows["kind"], rows["parent"]
    retweets = np.flatnonzero((kind == RETWEET) & (parent >= 0))
    rule[retweets], reference[retweets] = RETWEETS, parent[retweets]
    replies = np.flatnonzero((kind == REPLY) & (parent >= 0))
    answered = parent[replies]
    rooted = ~np.isin(tweets["kind"][answered], (REPLY, RETWEET))
    rule[replies] = np.where(rooted, ANSWERS_ROOT, ANSWERS)
    reference[replies] = tweets["author"][answered]
    assert PLAIN == 0
    return {**rows, "rule": rule, "reference": reference}


class IndexIngester:
    """Moves an index along with a world: each call indexes what has been written since the last one."""

    def __init__(self, index: EarlybirdIndex, *, first: int = 0) -> None:
        self.index = index
        self._next = first

    def until(self, view: PlatformView) -> int:
        """Index all tweets before the view's moment that are not there yet; the number of them."""
        end = int(view.tweets["time_h"].size)
        taken = max(0, end - self._next)
        if taken:
            self.index.user_count = max(self.index.user_count, view.user_count)
            self.index.ingest(indexed(view.tweets, self._next, end), first=self._next)
            self._next = end
        self.index.advance(view.now_h)
        return taken


class SignalIngester:
    """Counts of the engagements with the tweets of an index, as they come in.

    Columns of all arrays are COUNTED. Engagements with tweets that the index does not hold are passed over.
    """

    def __init__(self, index: EarlybirdIndex, users: UserTable, *, half_life_h: float = HALF_LIFE_H) -> None:
        self.index = index
        self.users = users
        self.half_life_h = half_life_h
        self.clock_h = -np.inf
        self._first = index.first
        self._rows = _blank(0)

    def engage(self, tweet: Ints, action: Array, user: Ints, time_h: Doubles) -> None:
        """Count engagements, in order of time: action: codes of funnel.core.actions; `quote` is not among them."""
        wanted = np.full(128, -1, np.int64)
        for place, name in enumerate(COUNTED):
            if name in ACTION_CODE:
                wanted[ACTION_CODE[name]] = place
        self._add(tweet, wanted[action], user, time_h)

    def quoted(self, quotes: Mapping[str, Array]) -> None:
        """Count the quotes among new tweets: columns kind, parent, author, time_h."""
        rows = np.flatnonzero((quotes["kind"] == QUOTE) & (quotes["parent"] >= 0))
        tweet, user, time_h = (quotes[name][rows] for name in ("parent", "author", "time_h"))
        self._add(tweet, np.full(rows.size, COUNTED.index("quote")), user, time_h)

    def counts(self, tweet: Ints) -> dict[str, Array]:
        """count and fake int32, decayed (at the clock) and weighted float32, [n, 4] each; 0 for unknown tweets."""
        known = (tweet >= self._first) & (tweet < self._first + self._rows["count"].shape[0])
        place = np.where(known, tweet - self._first, 0)
        if not known.any():
            return {name: np.zeros((tweet.size, len(COUNTED)), kind) for name, kind in _KINDS.items()}
        out = {name: np.where(known[:, None], self._rows[name][place], 0).astype(_KINDS[name]) for name in _KINDS}
        age = np.where(known, self.clock_h - self._rows["at_h"][place], 0.0)
        out["decayed"] = (out["decayed"] * self._faded(age)[:, None]).astype(np.float32)
        return out

    def _add(self, tweet: Ints, column: Longs, user: Ints, time_h: Doubles) -> None:
        if not time_h.size:
            return
        if not np.isfinite(time_h).all() or bool((np.diff(time_h) < 0).any()):
            raise DataError("earlybird signals", "wants engagements in order of time")
        self._follow_index()
        self.clock_h = max(self.clock_h, float(time_h[-1]))
        held = self._rows["count"].shape[0]
        rows = np.flatnonzero((column >= 0) & (tweet >= self._first) & (tweet < self._first + held))
        place, touched = np.unique(tweet[rows] - self._first, return_inverse=True)
        key = touched * len(COUNTED) + column[rows]
        reputation = self.users.reputation[user[rows]].astype(np.float64)
        weight = np.where(reputation < 0, GOODWILL, reputation) / 100.0
        # All decays to the clock, that of earlier engagements and that of these.
        faded = self._faded(self.clock_h - time_h[rows])
        old = self._rows["decayed"][place] * self._faded(self.clock_h - self._rows["at_h"][place])[:, None]
        self._rows["decayed"][place] = old + _summed(key, faded, place.size)
        self._rows["at_h"][place] = self.clock_h
        self._rows["weighted"][place] += _summed(key, weight, place.size)
        for name, one in (("count", np.ones(rows.size)), ("fake", self.users.spammer[user[rows]].astype(np.float64))):
            total = self._rows[name][place].astype(np.int64) + _summed(key, one, place.size).astype(np.int64)
            self._rows[name][place] = np.minimum(total, MAX_COUNT)

    def _faded(self, age_h: Doubles) -> Doubles:
        return np.asarray(np.exp2(-age_h / self.half_life_h))

    def _follow_index(self) -> None:
        """Rows for tweets that the index has taken up, none for those that it has dropped."""
        dropped = min(max(self.index.first - self._first, 0), self._rows["count"].shape[0])
        missing = len(self.index) - (self._rows["count"].shape[0] - dropped)
        if dropped or missing:
            more = _blank(max(missing, 0))
            self._rows = {name: np.concatenate([values[dropped:], more[name]]) for name, values in self._rows.items()}
            self._first = self.index.first


_KINDS: dict[str, str] = {"count": "int32", "fake": "int32", "decayed": "float32", "weighted": "float32"}


def _blank(size: int) -> dict[str, Array]:
    rows: dict[str, Array] = {name: np.zeros((size, len(COUNTED)), np.int32) for name in ("count", "fake")}
    # Sums are kept in double precision, so that many small additions do not get lost.
    rows |= {name: np.zeros((size, len(COUNTED))) for name in ("decayed", "weighted")}
    return {**rows, "at_h": np.zeros(size)}


def _summed(key: Longs, value: Array, size: int) -> Array:
    """float64 [size, 4]: sums by key."""
    return np.bincount(key, value, size * len(COUNTED)).reshape(size, len(COUNTED))
