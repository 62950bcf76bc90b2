"""CR-mixer asks its engines by the viewer's signals and deals their answers out in turn."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from candidates.cr_mixer import CRMixer
from candidates.mixing import interleave, newest_followers
from candidates.simclusters import SimClusters
from candidates.user_signals import signals_of
from funnel.core.batch import Requests
from funnel.core.errors import ConfigError
from funnel.core.world import PlatformView
from tests.candidates.naive import result
from tests.support import mini_view

EASY = {
    "min_favorites": 1, "min_signals": 1, "min_interest": 0.0, "min_tweet_score": 0.0, "min_producer_score": 0.0,
    "min_score": 0.0, "min_degree": 0, "min_query_degree": 2, "min_cooccurrence": 1, "min_graph_score": 0.0,
    "min_producer_cooccurrence": 1, "min_producer_graph_score": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def view() -> PlatformView:
    made = mini_view()
    return made.with_assets(SimClusters(min_followers=2).run(made, seed=0))


def mixer(**settings: object) -> CRMixer:
    return CRMixer(**(EASY | settings))  # type: ignore[arg-type]


def everybody(view: PlatformView) -> Requests:
    return Requests.of(np.arange(30), 48.0, view)


def test_lists_are_dealt_out_in_turn_and_a_repeated_tweet_gives_way_to_the_next() -> None:
    # Group 0 has the queues [1, 2, 3] and [1, 4]; group 1 has [5], [] and [5, 1]. In group 0 the second queue's turn
    # finds 1 taken and gives 4; then 2, and 3 when the second is empty. In group 1: 5, nothing, 1.
    item = np.array([1, 2, 3, 1, 4, 5, 5, 1], np.int32)
    queues, groups = np.array([0, 3, 5, 6, 6, 8]), np.array([0, 2, 5])
    offsets, rows = interleave(groups, queues, item, 6, 10)
    assert item[rows].tolist() == [1, 4, 2, 3, 5, 1]
    assert offsets.tolist() == [0, 4, 6]
    offsets, rows = interleave(groups, queues, item, 6, 2)
    assert item[rows].tolist() == [1, 4, 5, 1]


def test_the_newest_followers_come_first(view: PlatformView) -> None:
    offsets, who = newest_followers(view, np.array([3], np.int32), np.array([48.0]), 4)
    graph = view.followers
    edges = slice(int(graph.offsets[3]), int(graph.offsets[4]))
    order = np.argsort(-graph.time_h[edges])
    assert offsets.tolist() == [0, 4]
    assert who.tolist() == graph.targets[edges][order][:4].tolist()


def test_only_tweets_out_of_network_that_are_new_to_the_viewer_are_found(view: PlatformView) -> None:
    found = mixer(producer_engines=("simclusters_ann", "user_tweet_graph")).retrieve(everybody(view))
    kind, author = view.tweets["kind"][found["tweet"]], view.tweets["author"][found["tweet"]]
    assert len(found) > 30
    assert not np.isin(kind, (1, 2)).any()
    assert (author != found.viewer).all()
    shown = set(zip(view.impressions["viewer"].tolist(), view.impressions["tweet"].tolist(), strict=True))
    assert not shown & set(zip(found.viewer.tolist(), found["tweet"].tolist(), strict=True))


def test_the_score_counts_down_and_verified_authors_come_first(view: PlatformView) -> None:
    found, plain = (mixer(blue_verified_first=first).retrieve(everybody(view)) for first in (True, False))
    verified = view.users["verified"][view.tweets["author"][found["tweet"]]]
    moved = 0
    for r in range(30):
        rows = slice(int(found.offsets[r]), int(found.offsets[r + 1]))
        assert found["source_score"][rows].tolist() == list(range(rows.stop - rows.start, 0, -1))
        assert (np.diff(verified[rows].astype(int)) <= 0).all()
        # Among verified authors and among the others the order of dealing stays.
        for group in (True, False):
            dealt = [t for t in plain["tweet"][rows] if view.users["verified"][view.tweets["author"][t]] == group]
            assert found["tweet"][rows][verified[rows] == group].tolist() == dealt
        moved += found["tweet"][rows].tolist() != plain["tweet"][rows].tolist()
    assert moved > 0


def test_every_candidate_has_a_key_and_an_engine_that_gave_it(view: PlatformView) -> None:
    source, requests = mixer(), everybody(view)
    found = source.retrieve(requests)
    signals = signals_of(requests, ("tweet_favorite",), limit=15, min_favorites=1)
    kinds = set()
    for row in range(0, len(found), 11):
        request, tweet = int(found.request[row]), int(found["tweet"][row])
        said = source.proofs(requests, request, tweet)
        assert said
        liked = set(view.tweets["author"][signals.target[signals.request == request]].tolist())
        for words, account in said:
            kinds.add(words.partition(" by ")[0])
            if words.startswith("tweet_favorite"):
                assert account in liked
            if words.startswith("interested_in"):
                assert account == request
    assert kinds >= {"tweet_favorite", "interested_in"}
    assert source.proofs(requests, 0, 10**6) == []


def test_each_engine_and_each_kind_of_key_adds_candidates(view: PlatformView) -> None:
    requests = everybody(view)
    nothing = {"tweet_signals": (), "producer_signals": (), "interested_in": False}
    assert len(mixer(**nothing).retrieve(requests)) == 0
    for some in (
        {"tweet_signals": ("tweet_favorite",), "tweet_engines": ("simclusters_ann",)},
        {"tweet_signals": ("tweet_favorite",), "tweet_engines": ("user_tweet_graph",)},
        {"producer_signals": ("account_follow",)},
        {"producer_signals": ("repeated_profile_visit",), "producer_engines": ("user_tweet_graph",)},
        {"interested_in": True},
    ):
        assert len(mixer(**(nothing | some)).retrieve(requests)) > 0, some


def test_a_viewer_without_follows_or_engagements_finds_nothing(view: PlatformView) -> None:
    assert len(mixer().retrieve(Requests.of([29], 48.0, view))) == 0


def test_caps_hold_by_key_and_by_request(view: PlatformView) -> None:
    nothing = {"tweet_signals": (), "producer_signals": (), "interested_in": True}
    assert mixer(**nothing, max_per_key=3).retrieve(everybody(view)).counts.max() == 3
    few, all_of_them = (mixer(max_results=k, blue_verified_first=False).retrieve(everybody(view)) for k in (5, 2000))
    for r in range(30):
        assert list(result(few, r)) == list(result(all_of_them, r))[:5]


def test_a_verified_author_from_beyond_the_cap_gets_in_before_others(view: PlatformView) -> None:
    plain = mixer(max_results=5, blue_verified_first=False).retrieve(everybody(view))
    blue = mixer(max_results=5).retrieve(everybody(view))
    assert plain.counts.tolist() == blue.counts.tolist()
    verified = [int(view.users["verified"][view.tweets["author"][batch["tweet"]]].sum()) for batch in (plain, blue)]
    assert verified[0] < verified[1]


def test_unknown_signals_and_engines_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tweet_favorite'"):
        CRMixer(tweet_signals=("tweet_favourite",))
    with pytest.raises(ConfigError, match="no signal about a user"):
        CRMixer(producer_signals=("tweet_favorite",))
    with pytest.raises(ValidationError):
        CRMixer(tweet_engines=("magic",))  # type: ignore[arg-type]
