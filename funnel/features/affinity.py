"""How a viewer stands to an author: RealGraph's pair features and score, exact at any moment.

Interactions decay as in RealGraph's roll-up, ewma_t = x_t + 0.955 · ewma_(t-1) a day
(twitter/the-algorithm, interaction_graph/scio/common/InteractionGraphUtils.scala), in continuous
time. The score is the probability of an interaction on the next day by a logistic regression
(Kamath et al., "RealGraph: user interaction prediction at Twitter", UEO@KDD 2014), whose
coefficients the batch job `real_graph` learns.
"""

from __future__ import annotations

import numpy as np

from funnel.core.actions import PUBLIC_ACTIONS
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.batch import CandidateBatch
from funnel.core.world import PlatformView
from funnel.features.author import RECENT_H
from funnel.features.base import followed_since
from funnel.features.counts import COUNT, DECAYED, NEVER_H, SINCE, KindTables, smoothed_rate, within
from funnel.features.kernels import totals_of_pairs
from funnel.features.registry import SNAPSHOT, RowFunction, feature

DAILY_DECAY = 0.955
HALF_LIFE_H = 24.0 * np.log(0.5) / np.log(DAILY_DECAY)  # 15.05 days

# A viewer's rate for an author starts at the viewer's rate for everybody, which weighs as much as so many impressions.
PRIOR_SHOWN = 8.0

COEFFICIENTS = "real_graph.coefficients"
LOGGED = (*PUBLIC_ACTIONS, "click", "profile_click", "dwell", "negative_feedback", "impression")
# "public" sums the first three, so that it costs no look-up of its own.
PAIR_EVENTS: tuple[str, ...] = (*LOGGED, "public")
PAIR_FEATURES: tuple[str, ...] = (
    *(f"{what}_decayed_log" for what in PAIR_EVENTS),
    "public_recency",
    "click_recency",
    "follows",
    "followed_back",
    "author_tweets_log",
)
_AT = {what: place for place, what in enumerate(PAIR_EVENTS)}


def pair_totals(view: PlatformView, viewer: Ints, author: Ints, now_h: Doubles) -> Floats:
    """float32 [n, E, 3]: for each of PAIR_EVENTS the count, hours since the last, decayed count of the pair."""
    anew = np.append(True, (viewer[1:] != viewer[:-1]) | (now_h[1:] != now_h[:-1]))[: viewer.size]
    starts = np.flatnonzero(anew)
    return _pair_totals(view, np.append(starts, viewer.size), viewer[starts], now_h[starts], author)


def _pair_totals(view: PlatformView, offsets: Longs, viewer: Ints, now_h: Doubles, author: Ints) -> Floats:
    """The same for rows of requests: viewer, now_h: [R]."""
    # Once for all views of a world: the tables know no moment.
    tables = view.shared("events by pair", lambda everything, _: _tables(everything))
    out = totals_of_pairs(
        offsets, viewer, np.minimum(now_h, view.now_h), author,
        tables.keys, tables.offsets, tables.times, tables.states, tables.rates[0], NEVER_H,
    )  # fmt: skip
    public, parts = out[:, _AT["public"]], out[:, : len(PUBLIC_ACTIONS)]
    public[:, COUNT] = parts[:, :, COUNT].sum(axis=1)
    public[:, SINCE] = parts[:, :, SINCE].min(axis=1)
    public[:, DECAYED] = parts[:, :, DECAYED].sum(axis=1)
    return out


def _tables(view: PlatformView) -> KindTables:
    indices = [view.events(what, by="viewer_author") for what in LOGGED]
    return KindTables.of(indices, [(HALF_LIFE_H,)] * len(LOGGED))


def pair_matrix(view: PlatformView, viewer: Ints, author: Ints, now_h: Doubles) -> Floats:
    """float32 [n, F]: PAIR_FEATURES of each (viewer, author) at its own moment, in hours.

    Decayed counts and tweet counts enter as log(1 + x), recency as 1 / (1 + days since the last).
    """
    tweets = within(view.events("tweet", by="author"), author, now_h, (RECENT_H,))[0]
    follows = followed_since(view, viewer, author, now_h)
    back = followed_since(view, author, viewer, now_h)
    return _columns(pair_totals(view, viewer, author, now_h), follows, back, tweets)


def pair_scores(view: PlatformView, viewer: Ints, author: Ints, now_h: Doubles) -> Floats:
    """float32 [n] in [0, 1]: RealGraph's score of each pair, with the coefficients that the view has."""
    return _probability(pair_matrix(view, viewer, author, now_h), view.asset(COEFFICIENTS))


@feature("internal.pair", unit="mixed", group="internal", needs=("author",))
def _pair(batch: CandidateBatch) -> Floats:
    """What the viewer did with the author's tweets: counts, hours since the last, decayed counts."""
    asked = batch.requests
    return _pair_totals(asked.view, batch.offsets, asked.viewer, asked.now_h, batch["author"])


@feature("internal.followed_h", unit="h", group="internal", needs=("author",))
def _followed_h(batch: CandidateBatch) -> Doubles:
    """Since when the author follows the viewer, infinite if not before the request."""
    return followed_since(batch.requests.view, batch["author"], batch.viewer, batch.now_h)


def _of_pair(what: str, at: int) -> RowFunction:
    return lambda batch: batch["internal.pair"][:, _AT[what], at]


def _rate(what: str) -> RowFunction:
    def compute(batch: CandidateBatch) -> Floats:
        count = batch["internal.pair"][:, :, COUNT]
        return smoothed_rate(count[:, _AT[what]], count[:, _AT["impression"]])

    return compute


def _drawn_rate(what: str) -> RowFunction:
    def compute(batch: CandidateBatch) -> Floats:
        count = batch["internal.pair"][:, :, COUNT]
        prior = np.float32(PRIOR_SHOWN)
        rate: Array = (count[:, _AT[what]] + prior * batch[f"viewer.{what}.rate"]) / (
            count[:, _AT["impression"]] + prior
        )
        return rate

    return compute


for _what in ("favorite", "retweet", "reply", "click", "profile_click", "dwell"):
    feature(
        f"pair.{_what}.drawn_rate",
        unit="rate",
        group="viewer_author",
        needs=("internal.pair", f"viewer.{_what}.rate"),
        meaning=f"{_what} of the viewer per impression of the author's tweets, drawn towards the viewer's rate",
    )(_drawn_rate(_what))
for _what in PAIR_EVENTS:
    feature(
        f"pair.{_what}.decayed",
        unit="count",
        group="viewer_author",
        needs=("internal.pair",),
        meaning=f"{_what} of the viewer on the author's tweets, half-life 15 days",
    )(_of_pair(_what, DECAYED))
for _what in ("public", "click", "impression"):
    feature(
        f"pair.{_what}.since_h",
        unit="h",
        group="viewer_author",
        needs=("internal.pair",),
        meaning=f"Hours since the viewer's last {_what} on the author's tweets, 720 if never",
    )(_of_pair(_what, SINCE))
for _what in ("favorite", "reply", "click", "dwell"):
    feature(
        f"pair.{_what}.rate",
        unit="rate",
        group="viewer_author",
        needs=("internal.pair",),
        meaning=f"{_what} of the viewer per impression of the author's tweets, smoothed",
    )(_rate(_what))


@feature("pair.in_network", unit="flag", group="viewer_author", needs=("in_network",))
def in_network(batch: CandidateBatch) -> Array:
    """The viewer follows the author, or is the author."""
    return batch["in_network"]


@feature("pair.followed_back", unit="flag", group="viewer_author", needs=("internal.followed_h",))
def followed_back(batch: CandidateBatch) -> Array:
    """The author follows the viewer."""
    return np.isfinite(batch["internal.followed_h"])


@feature("pair.mutual", unit="flag", group="viewer_author", needs=("internal.followed_h", "internal.follow_h"))
def mutual(batch: CandidateBatch) -> Array:
    """Viewer and author follow each other."""
    return np.isfinite(batch["internal.followed_h"]) & np.isfinite(batch["internal.follow_h"])


@feature("pair.follow_age_h", unit="h", group="viewer_author", needs=("internal.follow_h",))
def follow_age_h(batch: CandidateBatch) -> Floats:
    """Hours since the viewer followed the author, 0 if not followed, at most 720."""
    since = batch["internal.follow_h"]
    age = np.where(np.isfinite(since), batch.now_h - since, 0.0)
    return np.minimum(age, NEVER_H).astype(np.float32)


@feature(
    "real_graph.score",
    unit="probability",
    group="viewer_author",
    rule=SNAPSHOT + " for the coefficients, events strictly before the request for the rest",
    needs=("internal.pair", "internal.follow_h", "internal.followed_h", "author.tweets_72h"),
    requires=(COEFFICIENTS,),
)
def real_graph_score(batch: CandidateBatch) -> Floats:
    """RealGraph: probability that the viewer interacts with the author within a day."""
    follows, back = batch["internal.follow_h"], batch["internal.followed_h"]
    columns = _columns(batch["internal.pair"], follows, back, batch["author.tweets_72h"])
    return _probability(columns, batch.requests.view.asset(COEFFICIENTS))


def _columns(pair: Floats, follow_h: Doubles, followed_h: Doubles, tweets: Floats) -> Floats:
    events = len(PAIR_EVENTS)
    out = np.empty((pair.shape[0], len(PAIR_FEATURES)), np.float32)
    np.log1p(pair[:, :, DECAYED], out=out[:, :events])
    for place, what in enumerate(("public", "click")):
        out[:, events + place] = 24.0 / (24.0 + pair[:, _AT[what], SINCE])
    out[:, events + 2] = np.isfinite(follow_h)
    out[:, events + 3] = np.isfinite(followed_h)
    out[:, events + 4] = np.log1p(tweets)
    return out


def _probability(columns: Floats, coefficients: Array) -> Floats:
    # A sum row by row rather than a matrix product, whose rounding may depend on the number of rows.
    logit = np.einsum("nf,f->n", columns, coefficients[:-1]) + coefficients[-1]
    score: Floats = 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))
    return score.astype(np.float32)
