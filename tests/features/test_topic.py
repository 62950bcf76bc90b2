"""Topics inferred from words: found where they are, unknown before their day is over, and counts of a plain scan."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array
from funnel.core.batch import CandidateBatch
from funnel.core.rng import stream
from funnel.core.world import PlatformView, WorldTables
from funnel.features import hydrate, matrix, model_features
from funnel.features.topic import LEARNT_H, PRIOR_SHOWN, topics
from tests.support import altered_after, fake_batch, mini_world, one_request

TOPICS, OWN, ALL = 24, 5, 3  # words of each topic, and words that stand in any tweet
NAMES = tuple(name for name in model_features() if name.startswith("topic."))


@lru_cache
def _world() -> WorldTables:
    """The small world, where tweets have two words of their topic and one that everybody uses."""
    world = mini_world(tweets=1500, words=150)
    draw = stream(0, "words")
    topic = np.arange(world.count("tweets")) % TOPICS
    words = np.stack(
        [
            topic * OWN,
            topic * OWN + draw.integers(1, OWN, topic.size),
            TOPICS * OWN + draw.integers(0, ALL, topic.size),
        ],
        axis=1,
    )
    tables = {
        name: world.table(name) for name in ("users", "follows", "tweets", "impressions", "engagements", "vocabulary")
    }
    tables["tweet_words"] = {
        "tweet": np.repeat(np.arange(topic.size, dtype=np.int32), 3),
        "word": words.ravel().astype(world.table("tweet_words")["word"].dtype),
    }
    return WorldTables(world.meta, tables)


def _batch(now_h: float = 48.0, world: WorldTables | None = None) -> CandidateBatch:
    view = PlatformView(world or _world(), 48.0)
    return fake_batch(np.full(12, 15), now_h=now_h, view=view)


def _topic(tweet: Array) -> Array:
    return np.asarray(tweet % TOPICS)


def test_words_that_stand_together_are_a_topic_and_words_for_everything_are_none() -> None:
    learnt = topics(PlatformView(_world(), 48.0))
    assert learnt is not None
    found = learnt.of_word[: TOPICS * OWN].reshape(TOPICS, OWN)
    assert learnt.count == TOPICS
    assert sorted(found[:, 0]) == list(range(TOPICS))
    assert (found == found[:, :1]).all()
    assert (learnt.of_word[TOPICS * OWN :] == -1).all()


def test_counts_and_rates_are_those_of_a_plain_scan() -> None:
    batch = hydrate(_batch(), NAMES)
    view = batch.requests.view
    shown, done = view.impressions, view.engagements
    liked = done["action"] == ACTION_CODE["favorite"]
    for row in range(0, len(batch), 7):
        about, me, now = _topic(batch["original"][row]), batch.viewer[row], batch.now_h[row]
        seen = (shown["viewer"] == me) & (shown["time_h"] < now) & (_topic(shown["tweet"]) == about)
        likes = liked & (done["viewer"] == me) & (done["time_h"] < now) & (_topic(done["tweet"]) == about)
        # Every tweet has two words of its topic, and counts for both.
        assert batch["topic.impression.count"][row] == 2 * seen.sum()
        assert batch["topic.favorite.count"][row] == 2 * likes.sum()
        usual = batch["viewer.favorite.rate"][row]
        expected = (2 * likes.sum() + PRIOR_SHOWN * usual) / (2 * seen.sum() + PRIOR_SHOWN)
        assert batch["topic.favorite.rate"][row] == pytest.approx(expected, rel=1e-5)
    assert batch["topic.known"].all()
    assert batch["topic.favorite.rate"].std() > 0.01


def test_a_topic_is_unknown_until_its_day_is_over() -> None:
    early = hydrate(_batch(LEARNT_H - 1.0), NAMES)
    assert not early["topic.known"].any()
    assert not early["topic.impression.count"].any()
    assert early["topic.favorite.rate"] == pytest.approx(early["viewer.favorite.rate"])
    assert topics(PlatformView(_world(), LEARNT_H - 1.0)) is None


@pytest.mark.parametrize("now_h", [20.0, 40.0])
def test_no_topic_sees_the_future_or_its_neighbours(now_h: float) -> None:
    batch = _batch(now_h)
    expected = matrix(batch, NAMES)
    later = altered_after(_world(), now_h)
    view = PlatformView(later, 48.0)
    again = fake_batch(batch.counts, now_h=now_h, view=view, tweet=batch["tweet"], viewers=batch.requests.viewer)
    np.testing.assert_array_equal(matrix(again, NAMES), expected)
    np.testing.assert_array_equal(matrix(one_request(batch, 3), NAMES), expected[batch.offsets[3] : batch.offsets[4]])


def test_a_world_without_words_has_no_topics() -> None:
    tables = {name: _world().table(name) for name in ("users", "follows", "tweets", "impressions", "engagements")}
    batch = hydrate(_batch(world=WorldTables(_world().meta, tables)), NAMES)
    assert not batch["topic.known"].any()
    assert np.isfinite(matrix(batch, NAMES)).all()
