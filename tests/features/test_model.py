"""Laws of all model features, and worked counts."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Floats
from funnel.core.batch import CandidateBatch
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView
from funnel.features import FEATURES, affinity, hydrate, matrix, model_features
from funnel.features.counts import NEVER_H
from tests.support import altered_after, fake_batch, mini_view, mini_world, one_request, shuffled_rows

NAMES = model_features()
USERS, DIMENSIONS = 30, 4


def assets() -> dict[str, Array]:
    """What the batch jobs would have made, at random but fixed."""
    draw = np.random.Generator(np.random.Philox(5))
    vectors = draw.normal(size=(2, USERS, DIMENSIONS)).astype(np.float32)
    coefficients = np.linspace(-1, 1, len(affinity.PAIR_FEATURES) + 1).astype(np.float32)
    return {
        "twhin.user_follow": vectors[0],
        "twhin.author_follow": vectors[1],
        "simclusters.known_for": (np.arange(USERS) % 3).astype(np.int32),
        "simclusters.interested_in": np.tile(np.array([0, 2, -1], np.int32), (USERS, 1)),
        "simclusters.interest": np.tile(np.array([0.8, 0.6, 0.0], np.float32), (USERS, 1)),
        "real_graph.coefficients": coefficients,
        "tweepcred.score": np.linspace(0, 100, USERS).astype(np.float32),
    }


@pytest.fixture(scope="module")
def batch() -> CandidateBatch:
    """Requests at several moments of the small world, with every model feature."""
    view = mini_view(assets=assets())
    return hydrate(fake_batch(np.full(30, 25), now_h=np.linspace(20.0, 48.0, 30), seed=3, view=view), NAMES)


def happened(batch: CandidateBatch, action: str) -> tuple[Array, Array, Array]:
    """(viewer, tweet, time_h) of all events of an action."""
    done = batch.requests.view.engagements
    of_action = done["action"] == ACTION_CODE[action]
    return done["viewer"][of_action], done["tweet"][of_action], done["time_h"][of_action]


def test_there_are_at_least_sixty_model_features_and_all_are_finite(batch: CandidateBatch) -> None:
    assert len(NAMES) >= 60
    for name in NAMES:
        assert batch[name].dtype.kind in "fib", name
        assert batch[name].dtype != np.float64, name
        assert np.isfinite(batch[name]).all(), name


def test_most_features_tell_candidates_apart(batch: CandidateBatch) -> None:
    constant = {name for name in NAMES if np.unique(batch[name]).size == 1}
    # The small world has one language, and words at random, which make no topics (see test_topic.py).
    assert constant <= {"language.match", *(name for name in NAMES if name.startswith("topic."))}


def test_every_feature_is_described() -> None:
    for name in NAMES:
        declared = FEATURES[name]
        assert declared.meaning
        assert declared.unit
        assert declared.rule


@pytest.mark.parametrize("now_h", [24.0, 40.0])
def test_no_feature_sees_the_future(now_h: float) -> None:
    asked = fake_batch(np.full(20, 20), now_h=now_h, view=mini_view(assets=assets()))
    later = PlatformView(altered_after(mini_world(), now_h), 48.0, assets=assets())
    again = fake_batch(np.full(20, 20), view=later, now_h=now_h, tweet=asked["tweet"], viewers=asked.requests.viewer)
    here = fake_batch(
        np.full(20, 20),
        view=mini_view(now_h, assets=assets()),
        now_h=now_h,
        tweet=asked["tweet"],
        viewers=asked.requests.viewer,
    )
    expected = matrix(asked, NAMES)
    np.testing.assert_array_equal(matrix(again, NAMES), expected)
    np.testing.assert_array_equal(matrix(here, NAMES), expected)


def test_no_feature_depends_on_company_or_order(batch: CandidateBatch) -> None:
    bare = batch.only(("tweet",))
    rows = shuffled_rows(bare)
    expected = matrix(batch, NAMES)
    np.testing.assert_array_equal(matrix(bare.take(rows), NAMES), expected[rows])
    for r in (0, 7, 29):
        begin, end = batch.offsets[r : r + 2]
        np.testing.assert_array_equal(matrix(one_request(bare, r), NAMES), expected[begin:end])


def test_no_candidates_give_no_rows() -> None:
    assert matrix(fake_batch([0, 0], view=mini_view(assets=assets())), NAMES).shape == (0, len(NAMES))
    assert matrix(fake_batch([], view=mini_view(assets=assets())), NAMES).shape == (0, len(NAMES))


def test_a_world_without_impressions_and_clicks_has_zero_counts_of_them() -> None:
    full = mini_world()
    done = full.table("engagements")
    public = np.isin(done["action"], [ACTION_CODE["retweet"], ACTION_CODE["reply"]])
    tables = {name: full.table(name) for name in ("users", "follows", "tweets")}
    tables["engagements"] = {name: values[public] for name, values in done.items()}
    view = PlatformView(type(full)(full.meta, tables), 48.0, assets=assets())
    batch = hydrate(fake_batch([50], view=view), NAMES)
    assert not batch["tweet.click.count"].any()
    assert not batch["pair.click.decayed"].any()
    assert np.all(batch["viewer.click.rate"] == np.float32(0.02))  # (0 + 1) / (0 + 50)
    assert batch["tweet.retweet.count"].any()


@pytest.mark.parametrize("action", ["favorite", "reply", "click"])
def test_a_tweet_counts_what_happened_to_it_and_to_its_original(batch: CandidateBatch, action: str) -> None:
    _, tweet, time_h = happened(batch, action)
    tweets = batch.requests.view.tweets
    for row in range(0, len(batch), 5):
        read = {int(batch["tweet"][row]), int(batch["original"][row])}
        times = time_h[np.isin(tweet, list(read)) & (time_h < batch.now_h[row])]
        assert batch[f"tweet.{action}.count"][row] == times.size
        decayed = np.sum(2.0 ** (-(batch.now_h[row] - times) / 4.0))
        assert batch[f"tweet.{action}.decayed_4h"][row] == pytest.approx(decayed, rel=1e-4, abs=1e-6)
        if tweets["kind"][batch["tweet"][row]] != RETWEET:
            assert len(read) == 1


def test_author_and_viewer_counts_are_those_of_a_plain_scan(batch: CandidateBatch) -> None:
    view = batch.requests.view
    viewer, tweet, time_h = happened(batch, "favorite")
    shown, follows = view.impressions, mini_world().table("follows")
    for row in range(0, len(batch), 5):
        now, author, me = batch.now_h[row], batch["author"][row], batch.viewer[row]
        received = ((view.tweets["author"][tweet] == author) & (time_h < now)).sum()
        assert batch["author.favorite.count"][row] == received
        followers = ((follows["followee"] == author) & (follows["time_h"] < now)).sum()
        assert batch["author.followers"][row] == followers
        given = ((viewer == me) & (time_h < now)).sum()
        seen = ((shown["viewer"] == me) & (shown["time_h"] < now)).sum()
        assert batch["viewer.favorite.rate"][row] == pytest.approx((given + 1) / (seen + 50))
        written = (view.tweets["author"] == author) & (view.tweets["time_h"] < now)
        recent = (written & (view.tweets["time_h"] >= now - 24.0)).sum()
        assert batch["author.tweets_24h"][row] == recent


def test_a_pair_counts_what_the_viewer_did_with_the_authors_tweets(batch: CandidateBatch) -> None:
    view = batch.requests.view
    public = [happened(batch, action) for action in ("favorite", "retweet", "reply")]
    viewer, tweet, time_h = (np.concatenate(parts) for parts in zip(*public, strict=True))
    for row in range(0, len(batch), 5):
        mine = (viewer == batch.viewer[row]) & (view.tweets["author"][tweet] == batch["author"][row])
        ages = batch.now_h[row] - time_h[mine & (time_h < batch.now_h[row])]
        # 0.955 a day: an interaction of age a hours weighs 0.955^(a / 24).
        assert batch["pair.public.decayed"][row] == pytest.approx((0.955 ** (ages / 24)).sum(), rel=1e-4)
        last = ages.min() if ages.size else NEVER_H
        assert batch["pair.public.since_h"][row] == pytest.approx(last, rel=1e-4)


def test_likers_and_two_hops_are_counted_among_the_followees(batch: CandidateBatch) -> None:
    follows = mini_world().table("follows")
    viewer, tweet, time_h = happened(batch, "favorite")
    vectors = assets()["twhin.user_follow"]
    for row in range(0, len(batch), 5):
        now, me = batch.now_h[row], batch.viewer[row]
        known = follows["time_h"] < now
        friends = follows["followee"][known & (follows["follower"] == me)]
        likers = viewer[(tweet == batch["original"][row]) & (time_h < now)]  # oldest first
        assert batch["social_proof.favorited_by"][row] == np.isin(likers[-50:], friends).sum()
        two_hops = np.isin(follows["follower"], friends) & (follows["followee"] == batch["author"][row])
        assert batch["two_hop.followed_by"][row] == (two_hops & known).sum()
        others = likers[likers != me][-20:]
        expected = float((vectors[others] @ vectors[me]).mean()) if others.size else 0.0
        assert batch["twhin.likers_similarity"][row] == pytest.approx(expected, abs=1e-5)


def test_similarity_reads_the_communities_of_viewer_and_author(batch: CandidateBatch) -> None:
    # Everybody is interested in clusters 0 (0.8) and 2 (0.6); author a is known for cluster a % 3.
    expected: Floats = np.array([0.8, 0.0, 0.6], np.float32)[batch["original_author"] % 3]
    np.testing.assert_array_equal(batch["simclusters.similarity"], expected)


def test_the_score_of_a_pair_is_the_same_in_a_batch_and_alone(batch: CandidateBatch) -> None:
    alone = affinity.pair_scores(batch.requests.view, batch.viewer, batch["author"], batch.now_h)
    np.testing.assert_array_equal(batch["real_graph.score"], alone)
    assert ((alone >= 0) & (alone <= 1)).all()


def test_unknown_pairs_have_a_score(batch: CandidateBatch) -> None:
    loner = np.array([USERS - 1], np.int32)  # follows nobody and has no events
    scores = affinity.pair_scores(batch.requests.view, loner, np.array([0], np.int32), np.array([30.0]))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", [name for name in NAMES if FEATURES[name].family is not None])
def test_a_feature_of_a_family_is_the_same_alone_and_together(batch: CandidateBatch, name: str) -> None:
    alone = hydrate(batch.only(("tweet",)), [name])
    assert alone[name].tobytes() == batch[name].tobytes()


def test_totals_of_pairs_are_the_same_for_a_whole_request_and_for_each_candidate(batch: CandidateBatch) -> None:
    view, author = batch.requests.view, batch["author"]
    together = affinity.pair_totals(view, batch.viewer, author, batch.now_h)
    assert together[:, :, 0].max() >= 2
    for row in range(len(batch)):
        at = slice(row, row + 1)
        each = affinity.pair_totals(view, batch.viewer[at], author[at], batch.now_h[at])
        assert each.tobytes() == together[at].tobytes()


def test_totals_of_pairs_are_those_of_the_index_also_where_a_viewer_knows_many_more_authors_than_are_asked() -> None:
    view = mini_view(assets=assets())
    known = view.events("impression", by="viewer_author")
    assert known.keys is not None
    viewer, author = (known.keys >> 32).astype(np.int32), (known.keys & 0xFFFFFFFF).astype(np.int32)
    assert np.bincount(viewer).max() > 8  # beyond which a single candidate searches instead of walking
    now_h = np.full(viewer.size, view.now_h)
    found = affinity.pair_totals(view, viewer, author, now_h)[:, affinity.PAIR_EVENTS.index("impression"), 0]
    single = np.array(
        [
            affinity.pair_totals(view, viewer[i : i + 1], author[i : i + 1], now_h[:1])[0, :, 0]
            for i in range(viewer.size)
        ]
    )[:, affinity.PAIR_EVENTS.index("impression")]
    counted = known.count(np.arange(viewer.size), now_h)
    assert np.array_equal(found, counted)
    assert np.array_equal(single, counted)
