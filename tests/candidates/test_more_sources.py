"""Lists, popular videos, backfill and topics agree with their rules as counted by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from candidates.backfill import Backfill
from candidates.lists import Lists
from candidates.popular_videos import PopularVideos
from candidates.simclusters import SimClusters
from candidates.topic_social_proof import TopicSocialProof
from funnel.core.actions import ACTION_CODE
from funnel.core.batch import Requests
from funnel.core.tables import REPLY, RETWEET
from funnel.core.world import PlatformView, WorldTables
from tests.candidates import naive
from tests.support import mini_view, mini_world

NOW_H, LONER = 40.0, 29


@pytest.fixture(scope="module")
def requests() -> Requests:
    return Requests.of(np.arange(30), NOW_H, mini_view())


# ---------------------------------------------------------------- lists


def listed(view: PlatformView, viewer: int, per_list: int, hours: float) -> set[int]:
    tweets, table, found = view.tweets, view.lists, set()
    for number in np.unique(table["list"][table["owner"] == viewer]):
        members = set(table["member"][table["list"] == number].tolist()) - {viewer}
        fine = [
            t
            for t in np.flatnonzero((tweets["time_h"] < NOW_H) & (tweets["time_h"] >= NOW_H - hours)).tolist()
            if tweets["author"][t] in members
            and tweets["kind"][t] not in (REPLY, RETWEET)
            and not view.users["suspended"][tweets["author"][t]]
            and not (
                view.users["protected"][tweets["author"][t]]
                and tweets["author"][t] not in naive.followees(view, viewer, NOW_H)
            )
        ]
        found |= set(sorted(fine)[-per_list:])
    return found


@pytest.mark.parametrize("per_list", [3, 100])
def test_a_list_gives_the_newest_tweets_of_its_members(requests: Requests, per_list: int) -> None:
    found = Lists(max_per_list=per_list, max_age_h=30.0).retrieve(requests)
    assert len(found) > 0
    for viewer in range(30):
        assert set(naive.result(found, viewer)) == listed(requests.view, viewer, per_list, 30.0)


def test_a_list_member_is_the_proof_and_nobody_else(requests: Requests) -> None:
    source = Lists(max_age_h=30.0)
    found = source.retrieve(requests)
    tweet, viewer = int(found["tweet"][0]), int(found.viewer[0])
    author = int(requests.view.tweets["author"][tweet])
    assert source.proofs(requests, viewer, tweet) == [("on a list of the viewer", author)]
    assert source.proofs(requests, LONER, tweet) == []


def test_a_world_without_lists_has_no_tweets_of_lists() -> None:
    world = mini_world()
    tables = {name: world.table(name) for name in ("users", "follows", "tweets", "engagements")}
    view = PlatformView(WorldTables(world.meta, tables), NOW_H)
    assert len(Lists().retrieve(Requests.of([0, 4, 8], NOW_H, view))) == 0


# ---------------------------------------------------------------- popular videos


def test_a_video_weighs_by_its_playbacks_half_of_it_a_day(requests: Requests) -> None:
    view = requests.view
    score: Counter[int] = Counter()
    log, tweets = view.engagements, view.tweets
    for row in np.flatnonzero((log["action"] == ACTION_CODE["video_playback50"]) & (log["time_h"] < NOW_H)):
        tweet, age_h = naive.original(view, int(log["tweet"][row])), NOW_H - float(log["time_h"][row])
        author = int(tweets["author"][tweet])
        old = tweets["time_h"][tweet] < NOW_H - 30
        unfit = tweets["kind"][tweet] in (REPLY, RETWEET) or naive.hidden(view, author) or author == log["viewer"][row]
        if not old and not unfit and tweets["video_s"][tweet] >= 20:
            score[tweet] += 0.5 ** (age_h / 24)
    found = PopularVideos(min_video_s=20.0, max_age_h=30.0, max_results=5).retrieve(requests)
    wanted = sorted(score.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
    assert len(wanted) == 5
    for viewer in (0, 7, LONER):
        assert list(naive.result(found, viewer)) == [tweet for tweet, _ in wanted]
        np.testing.assert_allclose(list(naive.result(found, viewer).values()), [s for _, s in wanted], rtol=1e-5)


def test_a_tweet_without_a_video_is_no_popular_video(requests: Requests) -> None:
    found = PopularVideos(signal=("favorite",), min_video_s=0.0).retrieve(requests)
    assert len(found) > 0
    assert (requests.view.tweets["video_s"][found["tweet"]] > 0).all()


# ---------------------------------------------------------------- backfill


def test_backfill_is_the_home_timeline_newest_first_without_replies(requests: Requests) -> None:
    view, tweets = requests.view, requests.view.tweets
    found = Backfill(max_results=20).retrieve(requests)
    for viewer in range(30):
        followed = naive.followees(view, viewer, NOW_H)
        rows = np.flatnonzero((tweets["time_h"] < NOW_H) & np.isin(tweets["author"], followed))
        wanted = rows[tweets["kind"][rows] != REPLY][::-1][:20]
        assert list(naive.result(found, viewer)) == wanted.tolist()


def test_the_gate_as_intended_lets_only_those_in_who_were_away(requests: Requests) -> None:
    view = requests.view
    shown = view.impressions["time_h"] < NOW_H
    released = Backfill().retrieve(requests).counts > 0
    for hours in (2.0, 10.0):
        counts = Backfill(gate="as_intended", min_away_h=hours).retrieve(requests).counts
        last = np.full(30, -np.inf)
        np.maximum.at(last, view.impressions["viewer"][shown], view.impressions["time_h"][shown])
        away = NOW_H - last > hours
        assert 0 < away.sum() < 30
        np.testing.assert_array_equal(counts > 0, away & released)


# ---------------------------------------------------------------- topics


@pytest.fixture(scope="module")
def topical() -> Requests:
    view = mini_view()
    view = view.with_assets(SimClusters(min_followers=2).run(view.at(NOW_H), seed=0))
    return Requests.of(np.arange(30), NOW_H, view)


def test_a_tweet_belongs_to_topics_by_two_cosines(topical: Requests) -> None:
    view, source = topical.view, TopicSocialProof(min_signals=2, min_interest=0.0, max_followed=2)
    found = source.retrieve(topical)
    clusters, weights = view.asset("simclusters.interested_in"), view.asset("simclusters.interest")
    count = int(clusters.max()) + 1

    def dense(places: np.ndarray, values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        made = np.zeros(count)
        made[places[places >= 0]] = values[places >= 0]
        return made

    interest = np.array([dense(c, w) for c, w in zip(clusters, weights, strict=True)])
    row = view.asset("simclusters.producer_row")
    audience = np.zeros((30, count))
    for user in np.flatnonzero(row >= 0):
        kind = (view.asset(f"simclusters.producer_{what}")[row[user]] for what in ("clusters", "weights"))
        audience[user] = dense(*kind)
    consumer = np.array([interest[clusters[:, 0] == c].sum(axis=0) for c in range(count)])
    producer = np.array([audience[view.asset("simclusters.known_for") == c].sum(axis=0) for c in range(count)])

    def cosine(a: np.ndarray, b: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))

    log = view.engagements
    assert len(found) > 30
    for place in range(0, len(found), 13):
        tweet, viewer = int(found["tweet"][place]), int(found.viewer[place])
        vector = np.zeros(count)
        for e in np.flatnonzero((log["action"] == ACTION_CODE["favorite"]) & (log["time_h"] < NOW_H)):
            if naive.original(view, int(log["tweet"][e])) == tweet and log["viewer"][e] != view.tweets["author"][tweet]:
                vector += interest[log["viewer"][e]] * 0.5 ** ((NOW_H - log["time_h"][e]) / 8)
        best = max(cosine(consumer[c], vector) + cosine(producer[c], vector) for c in clusters[viewer, :2] if c >= 0)
        assert found["source_score"][place] == pytest.approx(best, rel=1e-4)


def test_topics_below_the_threshold_and_beyond_the_tenth_do_not_count(topical: Requests) -> None:
    easy = {"min_signals": 1, "min_interest": 0.0}
    everything = TopicSocialProof(**easy).retrieve(topical)  # type: ignore[arg-type]
    strict = TopicSocialProof(**easy, min_topic_score=1.0).retrieve(topical)  # type: ignore[arg-type]
    assert 0 < len(strict) == int((everything["source_score"] > 1.0).sum()) < len(everything)
    one = TopicSocialProof(**easy, max_topics=1).retrieve(topical)  # type: ignore[arg-type]
    assert 0 < len(one) < len(everything)


def test_who_is_known_for_a_topic_is_its_proof(topical: Requests) -> None:
    source = TopicSocialProof(min_signals=1, min_interest=0.0)
    found = source.retrieve(topical)
    said = source.proofs(topical, int(found.viewer[0]), int(found["tweet"][0]))
    known_for = topical.view.asset("simclusters.known_for")
    assert said
    for words, account in said:
        assert words == f"known for topic {known_for[account]}"
    assert source.proofs(topical, LONER, int(found["tweet"][0])) == []
