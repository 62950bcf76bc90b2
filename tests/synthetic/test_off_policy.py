"""From the log's propensities it can be told how another policy would have fared; the oracle knows the answer."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats
from funnel.core.tables import EXPLORED, RETWEET
from synthetic.habituation import MEMORY
from tests.synthetic.towns import oracle, reactions, town

FAVORITE = ACTION_CODE["favorite"]
SINCE_H = 48.0  # from here on the exploring arm's pool spans two whole days
SESSIONS, DRAWS = 1_500, 24
REMEMBERED, PAGE = 96, 64  # tweets that are not shown again (synthetic.log), and more than a page holds


def public() -> Bools:
    """What the exploring arm draws from: no retweets, nothing protected, suspended or for subscribers only."""
    tweets, users = town().tables["tweets"], town().tables["users"]
    author = tweets["author"]
    open_to_all = ~tweets["exclusive"] & ~users["protected"][author] & ~users["suspended"][author]
    return (tweets["kind"] != RETWEET) & open_to_all


# Other policies for the explored places.
POLICIES = ("as logged", "pictures and videos", "newest", "own language")


def preference(name: str, viewer: Array, tweet: Array, time_h: Array) -> Doubles:
    """float64 [n], > 0: how likely a policy makes each tweet of the pool, up to a factor."""
    tweets, users = town().tables["tweets"], town().tables["users"]
    preferred: dict[str, Doubles] = {
        "as logged": np.ones(tweet.size),
        "pictures and videos": np.where(tweets["has_image"][tweet] | (tweets["video_s"][tweet] > 0), 4.0, 0.5),
        "newest": np.exp2(-(time_h - tweets["time_h"][tweet]) / 12.0),
        "own language": np.where(tweets["language"][tweet] == users["language"][viewer], 1.0, 0.02),
    }
    return preferred[name]


@pytest.mark.parametrize("name", POLICIES)
def test_a_weighted_estimate_from_the_log_agrees_with_the_truth(name: str) -> None:
    """SNIPS: sum of w r over sum of w with w = preference / propensity, a page being one draw of a cluster.

    The difference from the oracle's answer, which is a mean over drawn sessions, stays within three standard errors of
    both, each of which is taken over sessions.
    """
    shown = town().tables["impressions"]
    rows = np.flatnonzero((shown["arm"] == EXPLORED) & (shown["time_h"] > SINCE_H))
    viewer, tweet, time_h = (shown[column][rows] for column in ("viewer", "tweet", "time_h"))
    weight = preference(name, viewer, tweet, time_h) / shown["propensity"][rows]
    liked = reactions(town())[rows, FAVORITE]
    estimate, error = _ratio(weight * liked, weight, shown["request"][rows])
    truth, error_of_truth = _truth(name, rows)
    assert error < 0.15 * estimate
    assert abs(estimate - truth) < 3 * np.hypot(error, error_of_truth), (estimate, truth, error, error_of_truth)


def test_the_policies_differ_by_more_than_the_error() -> None:
    """So that the agreement above says something: who is shown their own language likes more."""
    shown = town().tables["impressions"]
    rows = np.flatnonzero((shown["arm"] == EXPLORED) & (shown["time_h"] > SINCE_H))
    logged, other = _truth("as logged", rows), _truth("own language", rows)
    assert other[0] - logged[0] > 3 * np.hypot(logged[1], other[1])


def _truth(name: str, rows: Array) -> tuple[float, float]:
    """(the oracle's favourite rate under the policy, its standard error): some explored places with other tweets in."""
    shown, tweets = town().tables["impressions"], town().tables["tweets"]
    rng = np.random.default_rng(1)
    place = np.sort(rng.choice(rows, SESSIONS, replace=False))
    pool = np.flatnonzero(public())
    hour = np.floor(shown["time_h"][place])  # the pool is that of the full hour
    low, high = (np.searchsorted(tweets["time_h"][pool], hour - back) for back in (48.0, 0.0))
    drawn = pool[(low[:, None] + rng.random((SESSIONS, DRAWS)) * (high - low)[:, None]).astype(int)]
    viewer, now_h, position = (np.repeat(shown[name][place], DRAWS) for name in ("viewer", "time_h", "position"))
    tweet = drawn.ravel().astype(np.int32)
    # Nobody is shown their own tweets, nor what they were shown lately: often that is what they would like most.
    fresh = (tweets["author"][tweet] != viewer) & ~_lately_shown(place, drawn).ravel()
    weight = preference(name, viewer, tweet, now_h) * fresh
    p = oracle().probabilities(viewer, tweet, position.astype(np.int32), now_h, seen=_seen(place, tweet))
    return _ratio(weight * p[:, FAVORITE], weight, np.repeat(np.arange(SESSIONS), DRAWS))


def _lately_shown(place: Array, drawn: Array) -> Bools:
    """bool [SESSIONS, DRAWS]: among the viewer's last 96 tweets before the page, or in another place of the page."""
    shown = town().tables["impressions"]
    found = np.zeros(drawn.shape, np.bool_)
    for i, row in enumerate(place):
        mine = np.flatnonzero(shown["viewer"][: row + PAGE] == shown["viewer"][row])
        page = mine[shown["request"][mine] == shown["request"][row]]
        before = mine[mine < page[0]][-REMEMBERED:]
        others = np.concatenate([before, page[page != row]])
        found[i] = np.isin(drawn[i], shown["tweet"][others])
    return found


def _seen(place: Array, tweet: Array) -> Floats:
    """float32 [SESSIONS * DRAWS, 2]: exposures at logged places, to the author and topic of other tweets."""
    shown, author = town().tables["impressions"], town().tables["tweets"]["author"]
    topic = town().truth["topics"][:, 0]
    order = np.argsort(shown["viewer"], kind="stable")
    rank = np.empty(order.size, int)
    rank[order] = np.arange(order.size)
    before = rank[place][:, None] - np.arange(1, MEMORY + 1)
    last = order[np.maximum(before, 0)]
    known = (before >= 0) & (shown["viewer"][last] == shown["viewer"][place][:, None])
    last, known = (np.repeat(values, DRAWS, axis=0) for values in (shown["tweet"][last], known))
    pairs = [((what[last] == what[tweet][:, None]) & known).sum(axis=1) for what in (author, topic)]
    return np.stack(pairs, axis=1).astype(np.float32)


def _ratio(top: Array, bottom: Array, cluster: Array) -> tuple[float, float]:
    """(sum of top over sum of bottom, its linearised standard error over clusters)."""
    _, which = np.unique(cluster, return_inverse=True)
    total, weight = (np.bincount(which, weights=values) for values in (top, bottom))
    ratio = total.sum() / weight.sum()
    return float(ratio), float(np.sqrt(((total - ratio * weight) ** 2).sum()) / weight.sum())
