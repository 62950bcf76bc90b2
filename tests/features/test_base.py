"""The base features against a plain reading of the tables."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.batch import CandidateBatch
from funnel.core.tables import BLOCK, MUTE, MUTE_KEYWORD, RETWEET
from funnel.core.world import PlatformView
from funnel.features import FEATURES, hydrate
from tests.support import altered_after, fake_batch, mini_view, mini_world, one_request, shuffled_rows

BASE = tuple(name for name, declared in FEATURES.items() if declared.group == "base")


@pytest.fixture(scope="module")
def batch() -> CandidateBatch:
    """Requests at several moments of the small world, with every base feature."""
    now_h = np.linspace(20.0, 48.0, 40)
    return hydrate(fake_batch(np.full(40, 25), now_h=now_h, seed=3), BASE)


def test_a_retweet_stands_for_the_tweet_it_passes_on(batch: CandidateBatch) -> None:
    tweets = batch.requests.view.tweets
    for row, tweet in enumerate(batch["tweet"]):
        expected = tweets["parent"][tweet] if tweets["kind"][tweet] == RETWEET else tweet
        assert batch["original"][row] == expected
        assert batch["original_author"][row] == tweets["author"][expected]


def test_in_network_means_followed_before_the_request_or_oneself(batch: CandidateBatch) -> None:
    follows = mini_world().table("follows")
    for row in range(len(batch)):
        viewer, author = batch.viewer[row], batch["author"][row]
        edge = (follows["follower"] == viewer) & (follows["followee"] == author)
        followed = bool((follows["time_h"][edge] < batch.now_h[row]).any())
        assert batch["in_network"][row] == (followed or viewer == author)


def test_seen_means_shown_in_the_last_two_days_before_the_request(batch: CandidateBatch) -> None:
    shown = mini_world().table("impressions")
    for row in range(len(batch)):
        before = (shown["time_h"] < batch.now_h[row]) & (shown["time_h"] >= batch.now_h[row] - 48.0)
        mine = before & (shown["viewer"] == batch.viewer[row])
        either = np.isin(shown["tweet"], [batch["tweet"][row], batch["original"][row]])
        assert batch["seen"][row] == (mine & either).any()
    assert batch["seen"].any()


def test_blocks_work_both_ways_and_mutes_one_way(batch: CandidateBatch) -> None:
    given = mini_world().table("feedback")
    for row in range(len(batch)):
        before = given["time_h"] < batch.now_h[row]
        authors = [batch["author"][row], batch["original_author"][row]]
        mine = (given["user"] == batch.viewer[row]) & np.isin(given["author"], authors)
        theirs = (given["author"] == batch.viewer[row]) & np.isin(given["user"], authors)
        assert batch["blocked"][row] == (before & (given["kind"] == BLOCK) & (mine | theirs)).any()
        assert batch["muted"][row] == (before & (given["kind"] == MUTE) & mine).any()
    assert batch["blocked"].any()
    assert batch["muted"].any()


def test_a_muted_word_hides_tweets_that_contain_it_once_it_is_muted(batch: CandidateBatch) -> None:
    given, words = mini_world().table("feedback"), mini_world().table("tweet_words")
    for row in range(len(batch)):
        muting = (given["kind"] == MUTE_KEYWORD) & (given["user"] == batch.viewer[row])
        muted = given["word"][muting & (given["time_h"] < batch.now_h[row])]
        said = words["word"][np.isin(words["tweet"], [batch["tweet"][row], batch["original"][row]])]
        assert batch["muted_keyword"][row] == np.isin(said, muted).any()
    assert batch["muted_keyword"].any()


def test_base_features_do_not_see_the_future() -> None:
    now_h = 30.0
    other = PlatformView(altered_after(mini_world(), now_h), 48.0)
    asked = fake_batch(np.full(20, 20), now_h=now_h)
    again = fake_batch(np.full(20, 20), now_h=now_h, view=other, tweet=asked["tweet"], viewers=asked.requests.viewer)
    for name in BASE:
        np.testing.assert_array_equal(hydrate(asked, (name,))[name], hydrate(again, (name,))[name], err_msg=name)


def test_base_features_depend_on_neither_company_nor_order(batch: CandidateBatch) -> None:
    bare = batch.only(("tweet",))
    rows = shuffled_rows(bare)
    turned, alone = hydrate(bare.take(rows), BASE), hydrate(one_request(bare, 5), BASE)
    for name in BASE:
        np.testing.assert_array_equal(turned[name], batch[name][rows])
        np.testing.assert_array_equal(alone[name], batch[name][batch.offsets[5] : batch.offsets[6]])


def test_no_candidates_give_no_rows() -> None:
    empty = fake_batch([0, 0], view=mini_view())
    for name in BASE:
        assert hydrate(empty, (name,))[name].shape == (0,)
