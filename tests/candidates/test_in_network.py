"""The in-network source: the published rules, the viewer's state, and what happens at the edges."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from candidates.earlybird.user_states import LOOKS_BACK_FURTHER, user_states
from candidates.in_network import InNetwork
from funnel.core.arrays import Array
from funnel.core.batch import Requests
from funnel.core.errors import NotFittedError
from funnel.core.tables import REPLY, RETWEET
from funnel.core.world import PlatformView, WorldTables
from tests.candidates import naive
from tests.candidates.planted import with_random_assets
from tests.support import mini_view, mini_world


def wide(**changed: Any) -> InNetwork:
    """The source without most of its limits, for the whole of the world's time."""
    many = 10**6
    limits: dict[str, Any] = {"max_excluded": 0, "max_per_author": many, "max_in_a_row": many, "min_age_s": 0.0}
    return InNetwork(window_h=48.0, **limits | changed)


@pytest.fixture(scope="module")
def ready() -> PlatformView:
    return with_random_assets(mini_view())


def found(source: InNetwork, view: PlatformView, viewer: int, now_h: float = 48.0) -> dict[int, float]:
    return naive.result(source.retrieve(Requests.of([viewer], now_h, view)), 0)


def following(view: PlatformView, pairs: list[tuple[int, int]], **columns: Array) -> PlatformView:
    """The same world with other follows, long ago, and other columns of tweets."""
    world = mini_world()
    tables = {name: dict(world.table(name)) for name in ("users", "vocabulary", "tweets", "impressions", "engagements")}
    tables["tweets"] |= columns
    follower, followee = (np.array([pair[at] for pair in sorted(pairs)], np.int32) for at in (0, 1))
    tables["follows"] = {"follower": follower, "followee": followee, "time_h": np.full(follower.size, -100.0)}
    return PlatformView(WorldTables(world.meta, tables), 48.0, assets=view.assets)


@pytest.mark.parametrize(
    "changed",
    [
        {"max_per_author": 1},
        {"max_in_a_row": 1},
        {"max_hits": 7},
        {"max_excluded": 2},
        {"max_retweets": 1, "max_per_author": 300},
        {"max_per_author": 300, "max_in_a_row": 300, "max_excluded": 0},
    ],
    ids=str,
)
def test_each_rule_is_the_one_of_the_plain_version(ready: PlatformView, changed: dict[str, Any]) -> None:
    source = InNetwork(window_h=24.0, light_window_h=24.0, **changed)
    batch = source.retrieve(Requests.of(np.arange(30), 44.0, ready))
    for viewer in range(30):
        wanted = naive.in_network(ready, viewer, 44.0, 24.0, **changed)
        assert naive.result(batch, viewer) == pytest.approx(wanted, rel=2e-5)


def test_viewers_of_light_states_look_back_two_days(ready: PlatformView) -> None:
    viewers = np.arange(30)
    state = user_states(ready, viewers.astype(np.int32), np.full(30, 48.0))
    batch = InNetwork(max_per_author=300).retrieve(Requests.of(viewers, 48.0, ready))
    assert 0 < LOOKS_BACK_FURTHER[state].sum() < 30
    age = 48.0 - ready.tweets["time_h"][batch["tweet"]]
    further = LOOKS_BACK_FURTHER[state][batch.request]
    assert age[~further].max() < 24.0 < age[further].max()


def test_the_best_go_on_where_there_are_too_many(ready: PlatformView) -> None:
    for viewer in range(30):
        everything = found(InNetwork(), ready, viewer)
        best = sorted(everything, key=lambda tweet: (-everything[tweet], tweet))[:5]
        assert set(found(InNetwork(max_results=5), ready, viewer)) == set(best)


def test_no_author_has_more_than_three_hits_unless_the_reputation_is_high(ready: PlatformView) -> None:
    author = ready.tweets["author"]
    everything = found(wide(), ready, 3)
    busy, count = Counter(author[list(everything)].tolist()).most_common(1)[0]
    assert count > 3
    score = np.where(np.arange(30) == busy, 66.0, 65.0).astype(np.float32)
    known = ready.with_assets({"tweepcred.score": score})
    few = Counter(author[list(found(wide(max_per_author=3), known, 3))].tolist())
    many = Counter(author[list(found(wide(max_per_author=3, free_reputation=65.0), known, 3))].tolist())
    assert few[busy] <= 3
    assert many[busy] == count
    assert {who: n for who, n in many.items() if who != busy} == {who: n for who, n in few.items() if who != busy}


@given(viewer=st.integers(0, 28), share=st.floats(0.0, 1.0), place=st.integers(0, 100), few=st.booleans())
def test_raising_a_pairs_real_graph_score_never_removes_its_tweets(
    viewer: int, share: float, place: int, few: bool
) -> None:
    view = with_random_assets(mini_view())
    source = InNetwork(max_results=6, max_follows=4 if few else 1000)
    before = found(source, view, viewer)
    if not before:
        return
    author = int(view.tweets["author"][sorted(before)[place % len(before)]])
    scores = naive.affinity.pair_scores

    def raised(view: PlatformView, viewers: Array, authors: Array, now_h: Array) -> Array:
        score = scores(view, viewers, authors, now_h)
        return np.where(authors == author, score + (1 - score) * np.float32(share), score).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("funnel.features.affinity.pair_scores", raised)
        after = found(source, view, viewer)
    mine = {tweet for tweet in before if view.tweets["author"][tweet] == author}
    assert mine <= set(after)


def test_a_viewer_who_follows_nobody_or_only_silent_accounts_gets_nothing(ready: PlatformView) -> None:
    silent = 29
    assert silent not in ready.tweets["author"]
    lonely = following(ready, [(1, silent), (2, 0)])
    assert found(wide(), lonely, 0) == {}
    assert found(wide(), lonely, 1) == {}
    assert found(wide(), lonely, 2)


def test_a_viewer_who_follows_everybody_gets_everything_but_the_own_and_is_cut(ready: PlatformView) -> None:
    view = following(ready, [(0, user) for user in range(1, 30)])
    tweets = view.tweets
    others = np.flatnonzero(tweets["author"] != 0)
    mine = tweets["author"][np.maximum(tweets["parent"], 0)] == 0
    to_me = (tweets["kind"] == REPLY) & mine
    source = wide(max_retweets=300)
    assert set(found(source, view, 0)) == set(others[~to_me[others]].tolist())
    assert len(found(replace(source, max_results=10), view, 0)) == 10


def test_replies_to_accounts_that_are_not_followed_must_answer_a_root_of_another(ready: PlatformView) -> None:
    # Tweets 290 to 295 by user 1, whom alone viewer 0 follows: answers to …
    kind, parent, author = (ready.tweets[name].copy() for name in ("kind", "parent", "author"))
    kind[280:285], author[280:285], parent[280:285] = (0, 3, RETWEET, REPLY, 0), (5, 5, 5, 5, 0), (-1, 0, 0, 0, -1)
    author[285], kind[285] = 1, 0
    author[286:300] = 8
    author[290:296], kind[290:296] = 1, REPLY
    parent[290:296] = (280, 281, 282, 283, 284, 285)  # original, quote, retweet, reply, the viewer's own, the replier's
    view = following(ready, [(0, 1)], kind=kind, parent=parent, author=author)
    mine = range(290, 296)
    assert [tweet in found(wide(), view, 0) for tweet in mine] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    none = wide(extended_replies=False)
    assert [tweet in found(none, view, 0) for tweet in mine] == [False] * 5 + [True]
    both = following(ready, [(0, 1), (0, 5)], kind=kind, parent=parent, author=author)
    assert [tweet in found(none, both, 0) for tweet in mine] == [True] * 4 + [False, True]


def test_a_tweet_that_is_seconds_old_or_of_the_future_is_not_found(ready: PlatformView) -> None:
    source = wide(min_age_s=600.0)
    for now_h in (10.0, 25.0, 40.0):
        batch = source.retrieve(Requests.of(np.arange(30), now_h, ready))
        assert len(batch) > 0
        assert ready.tweets["time_h"][batch["tweet"]].max() < now_h - 600.0 / 3600.0


def test_without_real_graph_the_newest_follows_are_asked_and_weigh_the_same(ready: PlatformView) -> None:
    bare = mini_view()
    source = wide(prefer="newest_follows", max_follows=2)
    assert source.requires == ()
    with pytest.raises(NotFittedError, match="real_graph"):
        InNetwork().retrieve(Requests.of([3], 48.0, bare))
    graph = bare.following
    edges = range(graph.offsets[3], graph.offsets[4])
    writers = set(bare.tweets["author"].tolist())
    newest = sorted((-graph.time_h[edge], graph.targets[edge]) for edge in edges if graph.targets[edge] in writers)[:2]
    hits = found(source, bare, 3)
    assert {int(bare.tweets["author"][tweet]) for tweet in hits} == {int(user) for _, user in newest}
    assert max(hits.values()) <= 1.0


def test_what_the_viewer_muted_is_not_asked(ready: PlatformView) -> None:
    told = ready.feedback
    pairs = [(u, a) for u, k, a in zip(told["user"], told["kind"], told["author"], strict=True) if k == 2]
    hits = [
        (u, a) for u, a in pairs if a in naive.followees(ready, int(u), 48.0) and (ready.tweets["author"] == a).any()
    ]
    assert hits
    for user, author in hits:
        authors = ready.tweets["author"][list(found(wide(), ready, int(user)))]
        assert author not in authors


@pytest.mark.parametrize("wrong", [{"max_results": 0}, {"window_h": -1.0}, {"prefer": "loudest"}, {"max_hits": 0}])
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InNetwork(**wrong)
