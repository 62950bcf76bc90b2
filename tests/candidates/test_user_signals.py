"""Signals are what the log says, with the rules of their kind, at every moment and for every viewer at once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from candidates.user_signals import KINDS, SIGNALS, Signals, checked, signals_of
from candidates.user_signals.kinds import DAY_H
from funnel.core.actions import ACTION_CODE
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView
from tests.candidates import naive
from tests.support import altered_after, mini_view, mini_world

NOW_H = 40.0
LONER = 29


@pytest.fixture(scope="module")
def requests() -> Requests:
    return Requests.of(np.arange(30), NOW_H, mini_view())


def by_hand(view: PlatformView, viewer: int, action: str, now_h: float) -> dict[int, float]:
    """target tweet -> time of the newest engagement of one kind, retweets standing for what they carry."""
    newest: dict[int, float] = {}
    log = view.engagements
    for who, tweet, code, time_h in zip(*(log[name].tolist() for name in ("viewer", "tweet", "action", "time_h"))):  # noqa: B905
        if who != viewer or code != ACTION_CODE[action] or time_h >= now_h:
            continue
        read = int(view.tweets["parent"][tweet]) if view.tweets["kind"][tweet] == RETWEET else tweet
        newest[read] = max(time_h, newest.get(read, -np.inf))
    return newest


def of_viewer(found: Signals, viewer: int) -> dict[int, float]:
    rows = found.request == viewer
    return dict(zip(found.target[rows].tolist(), found.time_h[rows].tolist(), strict=True))


@pytest.mark.parametrize(("name", "action"), [("tweet_favorite", "favorite"), ("reply", "reply")])
def test_signals_agree_with_reading_the_log(requests: Requests, name: str, action: str) -> None:
    found = signals_of(requests, (name,), limit=10_000, min_favorites=0, without_blocked=False)
    assert found.request.size > 0
    for viewer in range(30):
        assert of_viewer(found, viewer) == by_hand(requests.view, viewer, action, NOW_H)


def test_the_newest_come_first_and_no_more_than_asked(requests: Requests) -> None:
    found = signals_of(requests, ("tweet_favorite",), limit=3, min_favorites=0, without_blocked=False)
    for viewer in range(30):
        wanted = sorted(by_hand(requests.view, viewer, "favorite", NOW_H).items(), key=lambda pair: (-pair[1], pair[0]))
        assert list(of_viewer(found, viewer).items()) == wanted[:3]


def test_a_favourite_of_a_tweet_that_few_liked_is_no_signal(requests: Requests) -> None:
    everything = signals_of(requests, ("tweet_favorite",), limit=99, min_favorites=0)
    popular = signals_of(requests, ("tweet_favorite",), limit=99, min_favorites=2)
    count = requests.view.events("favorite", by="tweet")
    liked = count.count(everything.target.astype(np.int64), np.full(everything.target.size, NOW_H))
    assert 0 < popular.target.size == int((liked >= 2).sum()) < everything.target.size


def test_a_profile_visited_once_is_not_visited_repeatedly(requests: Requests) -> None:
    view, visits = requests.view, Counter[tuple[int, int]]()
    for row in np.flatnonzero(view.engagements["action"] == ACTION_CODE["profile_click"]):
        viewer, tweet = int(view.engagements["viewer"][row]), naive.original(view, int(view.engagements["tweet"][row]))
        if view.engagements["time_h"][row] < NOW_H and view.tweets["author"][tweet] != viewer:
            visits[viewer, int(view.tweets["author"][tweet])] += 1
    found = signals_of(requests, ("repeated_profile_visit",), limit=99, without_blocked=False)
    assert found.request.size > 0
    said = zip(found.request.tolist(), found.target.tolist(), found.times.tolist(), strict=True)
    assert {(viewer, author): times for viewer, author, times in said} == {
        pair: times for pair, times in visits.items() if times >= 2
    }


def test_what_the_viewer_rejected_is_no_click_and_who_is_blocked_is_no_signal(requests: Requests) -> None:
    view = requests.view
    clicks = signals_of(requests, ("good_tweet_click",), limit=999, without_blocked=False)
    rejected = signals_of(requests, ("tweet_see_fewer", "tweet_report", "negative_feedback"), limit=999)
    unwanted = set(zip(rejected.request.tolist(), rejected.target.tolist(), strict=True))
    assert clicks.request.size > 0
    assert unwanted
    assert not unwanted & set(zip(clicks.request.tolist(), clicks.target.tolist(), strict=True))
    fine = signals_of(requests, ("tweet_favorite",), limit=999, min_favorites=0)
    every = signals_of(requests, ("tweet_favorite",), limit=999, min_favorites=0, without_blocked=False)
    barred = signals_of(requests, ("account_block", "account_mute"), limit=999)
    pairs = set(zip(barred.request.tolist(), barred.target.tolist(), strict=True))
    left = set(zip(fine.request.tolist(), view.tweets["author"][fine.target].tolist(), strict=True))
    assert not pairs & left
    assert fine.request.size < every.request.size


def test_follows_older_than_ninety_days_are_no_signals(requests: Requests) -> None:
    graph, found = requests.view.following, signals_of(requests, ("account_follow",), limit=999, without_blocked=False)
    for viewer in range(30):
        edges = slice(int(graph.offsets[viewer]), int(graph.offsets[viewer + 1]))
        since = graph.time_h[edges]
        young = (since < NOW_H) & (since >= NOW_H - 90 * DAY_H)
        assert set(of_viewer(found, viewer)) == set(graph.targets[edges][young].tolist())


def test_short_videos_and_shares_of_long_ago_are_no_signals(requests: Requests) -> None:
    found = signals_of(requests, ("video_view",), limit=99)
    assert found.request.size > 0
    assert (requests.view.tweets["video_s"][found.target] >= 10).all()
    assert KINDS["tweet_share"].lookback_h == 14 * 24


def test_what_happens_later_and_who_else_asks_change_nothing() -> None:
    names = tuple(kind.name for kind in SIGNALS)
    view, later = mini_view(), PlatformView(altered_after(mini_world(), 30.0), 48.0)
    now = signals_of(Requests.of(np.arange(30), 30.0, view), names, limit=15, min_favorites=1)
    then = signals_of(Requests.of(np.arange(30), 30.0, later), names, limit=15, min_favorites=1)
    for first, second in zip(now, then, strict=True):
        np.testing.assert_array_equal(first, second)
    alone = signals_of(Requests.of([11], 30.0, view), names, limit=15, min_favorites=1)
    rows = now.request == 11
    assert alone.target.tolist() == now.target[rows].tolist()
    assert alone.kind.tolist() == now.kind[rows].tolist()


def test_somebody_who_did_nothing_has_no_signals_and_nobody_has_none() -> None:
    names = tuple(kind.name for kind in SIGNALS)
    assert signals_of(Requests.of([LONER], 48.0, mini_view()), names, limit=15).request.size == 0
    assert signals_of(Requests.of([], 48.0, mini_view()), names, limit=15).request.size == 0


def test_an_unknown_signal_or_a_negative_one_is_no_source_of_candidates() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tweet_favorite'"):
        checked("x", ("tweet_favourite",), "tweet")
    with pytest.raises(ConfigError, match="account_block"):
        checked("x", ("account_block",), "user")
