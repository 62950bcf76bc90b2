from __future__ import annotations

import numpy as np

from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Bools
from funnel.core.tables import BLOCK, EXPLORED, FOLLOWED, MUTE, MUTE_KEYWORD, POPULAR, REPORT, RETWEET, SEE_FEWER
from tests.synthetic.towns import reactions, town


def test_nothing_is_shown_before_it_is_written_or_long_after() -> None:
    shown, tweets = town().tables["impressions"], town().tables["tweets"]
    age_h = shown["time_h"] - tweets["time_h"][shown["tweet"]]
    assert age_h.min() > 0
    assert age_h.max() < 50  # the window of 48 h, counted from the full hour


def test_nobody_is_shown_their_own_tweets_or_protected_ones_of_people_they_do_not_follow() -> None:
    tables = town().tables
    shown, author = tables["impressions"], tables["tweets"]["author"][tables["impressions"]["tweet"]]
    assert (shown["viewer"] != author).all()
    protected = tables["users"]["protected"][author]
    assert protected.any()
    assert _follows(shown["viewer"], author)[protected].all()


def test_the_followed_arm_shows_followees_and_the_others_public_originals() -> None:
    tables = town().tables
    shown, tweets = tables["impressions"], tables["tweets"]
    author = tweets["author"][shown["tweet"]]
    assert _follows(shown["viewer"], author)[shown["arm"] == FOLLOWED].all()
    others = shown["arm"] != FOLLOWED
    assert (tweets["kind"][shown["tweet"][others]] != RETWEET).all()
    assert not tables["users"]["suspended"][author].any()


def test_rows_of_a_page_stand_together_at_one_moment_without_repeats() -> None:
    shown = town().tables["impressions"]
    request = shown["request"]
    assert (np.diff(request) >= 0).all()
    assert request[0] == 0
    assert (np.diff(request) <= 1).all()
    first = np.flatnonzero(np.diff(request, prepend=-1))
    of_page = first[request]
    assert np.array_equal(shown["time_h"], shown["time_h"][of_page])
    assert np.array_equal(shown["viewer"], shown["viewer"][of_page])
    assert np.array_equal(shown["position"], np.arange(request.size) - of_page)
    pairs = request.astype(np.int64) * 30_000 + shown["tweet"]
    assert np.unique(pairs).size == pairs.size


def test_pages_have_at_most_the_places_of_each_arm() -> None:
    shown = town().tables["impressions"]
    for arm, places in ((FOLLOWED, 11), (POPULAR, 5), (EXPLORED, 6)):
        assert np.bincount(shown["request"][shown["arm"] == arm]).max() <= places


def test_propensities_are_places_over_the_size_of_the_pool() -> None:
    """FOLLOWED: 11 of at most 33; EXPLORED: 6 of the public tweets of two days, which are thousands after two days."""
    shown = town().tables["impressions"]
    propensity, arm = shown["propensity"], shown["arm"]
    assert ((propensity > 0) & (propensity <= 1)).all()
    assert propensity[arm == FOLLOWED].min() > 11 / 33 - 1e-6
    late = (arm == EXPLORED) & (shown["time_h"] > 48)
    assert 0.0005 < propensity[late].mean() < 0.003


def test_exploration_is_uniform() -> None:
    """Weighted by 1 / propensity, as many explored tweets have a video as tweets in the pool: 10 %, give or take 2."""
    tables = town().tables
    shown, tweets = tables["impressions"], tables["tweets"]
    rows = (shown["arm"] == EXPLORED) & (shown["time_h"] > 48)
    weight = 1.0 / shown["propensity"][rows]
    video = tweets["video_s"][shown["tweet"][rows]] > 0
    pool = tweets["video_s"][tweets["kind"] != RETWEET] > 0
    assert abs((weight * video).sum() / weight.sum() - pool.mean()) < 0.02


def test_popular_tweets_are_engaged_with_more_than_random_ones() -> None:
    data = town()
    favorite, arm = reactions(data)[:, ACTION_CODE["favorite"]], data.tables["impressions"]["arm"]
    assert favorite[arm == POPULAR].mean() > 1.5 * favorite[arm == EXPLORED].mean()


def test_an_engagement_follows_its_impression_within_minutes() -> None:
    tables = town().tables
    done, shown = tables["engagements"], tables["impressions"]
    for column in ("viewer", "tweet"):
        assert np.array_equal(done[column], shown[column][done["impression"]])
    wait_h = done["time_h"] - shown["time_h"][done["impression"]]
    assert wait_h.min() > 0
    assert wait_h.max() < 0.25
    assert done["time_h"].max() < town().meta.end_h


def test_negative_reactions_are_feedback() -> None:
    tables = town().tables
    feedback, done = tables["feedback"], reactions(town())
    given = feedback["time_h"] > 0
    for name, kind in (("block", BLOCK), ("mute", MUTE), ("report", REPORT)):
        assert (feedback["kind"][given] == kind).sum() == done[:, ACTION_CODE[name]].sum(), name
    harder = done[:, ACTION_CODE["block"]] | done[:, ACTION_CODE["mute"]]
    milder = done[:, ACTION_CODE["negative_feedback"]] & ~harder
    assert (feedback["kind"] == SEE_FEWER).sum() == milder.sum()
    about = tables["tweets"]["author"][feedback["tweet"][given]]
    assert np.array_equal(feedback["author"][given], about)
    keyword = feedback["kind"] == MUTE_KEYWORD
    assert keyword.any()
    assert ((feedback["word"] >= 0) == keyword).all()
    assert (feedback["author"][feedback["kind"] == BLOCK] != feedback["user"][feedback["kind"] == BLOCK]).all()


def test_whoever_was_blocked_or_muted_is_not_shown_in_later_hours() -> None:
    tables = town().tables
    shown, feedback = tables["impressions"], tables["feedback"]
    barring = np.isin(feedback["kind"], (BLOCK, MUTE))
    pairs = feedback["user"][barring].astype(np.int64) * 2_000 + feedback["author"][barring]
    order = np.argsort(pairs, kind="stable")  # the first of each pair, since time ascends
    pairs, since = pairs[order], np.floor(feedback["time_h"][barring][order]) + 1.0
    seen = shown["viewer"].astype(np.int64) * 2_000 + tables["tweets"]["author"][shown["tweet"]]
    place = np.minimum(np.searchsorted(pairs, seen), pairs.size - 1)
    again = (pairs[place] == seen) & (shown["time_h"] >= since[place])
    assert not again.any()


def test_people_who_read_much_write_more() -> None:
    tables = town().tables
    pages = np.bincount(tables["impressions"]["viewer"], minlength=2_000)
    written = np.bincount(tables["tweets"]["author"], minlength=2_000)
    assert np.corrcoef(np.log1p(pages), np.log1p(written))[0, 1] > 0.2


def test_lists_hold_other_accounts_each_once() -> None:
    lists = town().tables["lists"]
    assert lists["list"].size > 50
    pairs = lists["list"].astype(np.int64) * 2_000 + lists["member"]
    assert (np.diff(pairs) > 0).all()


def _follows(viewer: Array, author: Array) -> Bools:
    follows = town().tables["follows"]
    edges = follows["follower"].astype(np.int64) * 2_000 + follows["followee"]
    return np.isin(viewer.astype(np.int64) * 2_000 + author, edges)
