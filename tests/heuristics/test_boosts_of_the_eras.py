"""Creators, feedback fatigue, the new author's lift, and how the factors of an era add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from funnel.core.actions import HEAVY_ACTIONS
from funnel.core.batch import CandidateBatch, Requests
from funnel.core.errors import ConfigError
from funnel.core.tables import RETWEET, SEE_FEWER
from funnel.core.world import PlatformView, WorldTables
from heavy_ranker.value import PRESETS, Value
from heuristics.boosts.author_diversity import AuthorDiversity
from heuristics.boosts.blue_verified import BlueVerified
from heuristics.boosts.creators import Creators
from heuristics.boosts.feedback_discount import FeedbackDiscount
from heuristics.boosts.new_author_lift import NewAuthorLift
from heuristics.boosts.out_of_network import OutOfNetwork
from heuristics.boosts.replies import Replies
from heuristics.boosts.reply_repost_discount import ReplyRepostDiscount
from tests.support import batches, fake_batch, mini_world

LIFT = ("is_reply", "is_retweet")


def test_creators_count_a_tenth_more_inside_and_three_tenths_outside() -> None:
    # CreatorInNetworkMultiplierParam 1.1, …OutOfNetwork… 1.3, for tweets that are neither reply nor retweet.
    batch = fake_batch(
        [5],
        author_creator=[True, True, False, True, True],
        in_network=[True, False, True, True, False],
        is_reply=[False, False, False, True, False],
        is_retweet=[False, False, False, False, True],
    )
    assert Creators().factor(batch).tolist() == pytest.approx([1.1, 1.3, 1, 1, 1])


def test_in_2026_replies_and_retweets_inside_count_like_what_is_outside() -> None:
    columns = {
        "in_network": [True, True, True, False, False],
        "is_reply": [True, False, False, True, False],
        "is_retweet": [False, True, False, False, True],
    }
    batch = fake_batch([5], **columns)
    assert ReplyRepostDiscount().factor(batch).tolist() == [0.75, 0.75, 1, 1, 1]
    together = ReplyRepostDiscount().factor(batch) * OutOfNetwork(scale=0.75, retweets=True).factor(batch)
    assert together.tolist() == [0.75, 0.75, 1, 0.75, 0.75]  # once, never twice


def _asked(days: float, *, about: int, tweet: int = -1, now_h: float = 48.0) -> PlatformView:
    """The mini world in which viewer 1 asked, so many days ago, to see less of somebody."""
    world = mini_world()
    tables = {name: dict(world.table(name)) for name in ("users", "tweets", "follows")}
    tables["feedback"] = {
        "user": np.array([1], np.int32),
        "kind": np.array([SEE_FEWER], np.int8),
        "author": np.array([about], np.int32),
        "tweet": np.array([tweet], np.int32),
        "word": np.array([-1], np.int32),
        "time_h": np.array([now_h - 24 * days]),
    }
    return PlatformView(WorldTables(world.meta, tables), now_h)


@pytest.mark.parametrize(
    ("days", "factor"),
    # 0.2 + 0.2 * (days − 14) / 35 with whole days, 1 from 14 + 140 on: FeedbackFatigueScorer.scala.
    [
        (0.1, 0.12),
        (13.9, 0.2 - 0.2 / 35),
        (14, 0.2),
        (49, 0.4),
        (84, 0.6),
        (119.5, 0.8),
        (153, 0.994286),
        (154, 1),
        (400, 1),
    ],
)
def test_an_author_recovers_from_the_wish_to_see_less(days: float, factor: float) -> None:
    view = _asked(days, about=5)
    requests = Requests.of([1, 2], view.now_h, view)
    columns = {"author": np.array([5, 6, 5], np.int32), "is_retweet": np.zeros(3, np.bool_)}
    batch = CandidateBatch.of(requests, [2, 1], tweet=np.arange(3, dtype=np.int32), **columns)
    batch = batch.with_columns({"original_author": batch["author"]})
    # The author of whom viewer 1 sees less, somebody else, and the same author for viewer 2.
    assert FeedbackDiscount().factor(batch).tolist() == pytest.approx([factor, 1, 1], rel=1e-5)


def test_a_wish_about_a_retweet_is_about_who_retweets() -> None:
    retweet = int(np.flatnonzero(mini_world().table("tweets")["kind"] == RETWEET)[0])
    view = _asked(49, about=5, tweet=retweet)
    requests = Requests.of([1], view.now_h, view)
    columns = {
        "author": np.array([5, 5, 7], np.int32),
        "original_author": np.array([6, 5, 5], np.int32),
        "is_retweet": np.array([True, False, True]),
    }
    batch = CandidateBatch.of(requests, [3], tweet=np.arange(3, dtype=np.int32), **columns)
    # What 5 retweets; what 5 wrote; what others retweet of 5.
    assert FeedbackDiscount().factor(batch).tolist() == pytest.approx([0.4, 1, 1])


def test_the_last_wish_counts_and_a_later_one_is_not_known_yet() -> None:
    view = _asked(1, about=5)
    early = Requests.of([1], view.now_h - 30, view)
    columns = {"author": np.array([5], np.int32), "original_author": np.array([5], np.int32)}
    batch = CandidateBatch.of(early, [1], tweet=np.zeros(1, np.int32), is_retweet=np.zeros(1, np.bool_), **columns)
    assert FeedbackDiscount().factor(batch).tolist() == [1]


def _known(followers: list[float], views: list[float], score: list[float], **columns: object) -> CandidateBatch:
    n = len(score)
    given: dict[str, object] = {"is_reply": [False] * n, "is_retweet": [False] * n, **columns}
    batch = fake_batch([n], tweet=list(range(n)), score=score, **given)  # type: ignore[arg-type]
    more = {"author.followers": followers, "tweet.impression.count": views}
    return batch.with_columns({name: np.array(values, np.float32) for name, values in more.items()})


def test_the_best_tweet_of_a_little_known_author_gets_the_score_of_place_fifteen() -> None:
    # Scores 40, 39, …, 1. Known authors but for places 20 and 25: the one at 20 (score 20) gets that of place 15, 25.
    followers = [5000.0] * 40
    followers[20] = followers[25] = 1000.0
    batch = _known(followers, [0.0] * 40, [float(40 - place) for place in range(40)])
    factor = NewAuthorLift().factor(batch)
    assert factor[20] == pytest.approx(25 / 20)
    assert (np.delete(factor, 20) == 1).all()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, 20),
        ({"followers": 1001.0}, 20),  # more than 1,000 followers
        ({"views": 1000.0}, 20),  # 1,000 views
        ({"is_reply": True}, 20),
        ({"is_retweet": True}, 20),
        ({}, 34),  # 34 is not below 0.85 × 40
        ({}, 5),  # stands higher already
    ],
)
def test_only_an_eligible_tweet_is_lifted(change: dict[str, float], place: int) -> None:
    flag = {name: [bool(change.get(name)) and at == place for at in range(40)] for name in LIFT}
    followers, views = [5000.0] * 40, [0.0] * 40
    followers[place], views[place] = change.get("followers", 10.0), change.get("views", 0.0)
    factor = NewAuthorLift().factor(_known(followers, views, [float(40 - at) for at in range(40)], **flag))
    lifted = not change and place == 20
    assert (factor > 1).sum() == int(lifted)


def test_nobody_is_lifted_on_a_short_list() -> None:
    batch = _known([10.0] * 15, [0.0] * 15, [float(15 - place) for place in range(15)])
    assert (NewAuthorLift().factor(batch) == 1).all()


@given(batch=batches(bools=LIFT, max_count=40))
def test_a_lift_is_for_one_tweet_a_request_and_never_downwards(batch: CandidateBatch) -> None:
    known = {"author.followers": batch["author"].astype(np.float32), "tweet.impression.count": np.zeros(len(batch))}
    factor = NewAuthorLift(max_followers=3).factor(batch.with_columns(known))
    assert (factor >= 1).all()
    assert np.isfinite(factor).all()
    assert (np.bincount(batch.request[factor > 1], minlength=1) <= 1).all()


def test_places_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(ConfigError, match="end_place"):
        NewAuthorLift(first_place=16, end_place=16)
    with pytest.raises(ConfigError, match="filtered_days"):
        FeedbackDiscount(filtered_days=100)


def _predicted(**p: float) -> CandidateBatch:
    return fake_batch([1], **{f"p.{name}": [p.get(name, 0.0)] for name in HEAVY_ACTIONS}, author_verified=[True])


def test_the_worked_example_of_a_verified_authors_tweet() -> None:
    # April weights, July's max(): .025 + .01 + .135 + .15 + .06 + 11·.03 + 10·.03 − .037 − .00738 = .96562; + ε; × 4.
    batch = _predicted(
        favorite=0.05, retweet=0.01, reply=0.01, reply_engaged_by_author=0.002, good_profile_click=0.005,
        good_click=0.02, good_click_v2=0.03, negative_feedback=0.0005, report=0.00002,
    )  # fmt: skip
    value = Value(good_click="max").score(batch)["value"]
    assert value == pytest.approx([0.96662], abs=1e-5)
    flags = {"in_network": np.array([True]), "is_reply": np.array([False]), "is_retweet": np.array([False])}
    inside = batch.with_columns(flags)
    assert value * BlueVerified().factor(inside) == pytest.approx([3.86648], abs=1e-5)
    reply = inside.with_columns({"is_reply": np.array([True])})
    assert value * Replies().factor(reply) * BlueVerified().factor(reply) == pytest.approx([0.72497], abs=1e-5)
    outside = inside.with_columns({"in_network": np.array([False])})
    assert value * OutOfNetwork().factor(outside) == pytest.approx([0.72497], abs=1e-5)  # March
    assert value * OutOfNetwork(scale=1.0, retweets=True).factor(outside) == value  # July


def test_a_boost_of_four_does_not_lift_a_negative_sum_over_a_typical_one() -> None:
    # S < 0 is squeezed below ε = 0.001, so that × 4 stays below 4 ε, and a tweet that is liked by 2 % stands above.
    bad = Value().score(_predicted(favorite=0.01, report=0.01))["value"]
    typical = Value().score(_predicted(favorite=0.02))["value"]
    assert 0 < bad[0] < 0.001
    assert 4 * bad[0] < typical[0]


def test_the_weights_of_2026_are_the_published_ones_for_the_heads_that_there_are() -> None:
    published = {"favorite": 0.5, "retweet": 1, "reply": 5, "video_playback50": 0.05, "negative_feedback": -43.2}
    assert PRESETS["x_2026_08"] == {**published, "report": -234.0}
    assert set(PRESETS["x_2026_08"]) <= set(HEAVY_ACTIONS)


def test_boosts_say_in_words_what_they_did() -> None:
    diversity = AuthorDiversity()
    batch = fake_batch([4], tweet=[1, 2, 3, 4], author=[7] * 4, value=[4.0, 3, 2, 1])
    said = [diversity.because(float(factor)) for factor in diversity.factor(batch)]
    assert said == [f"{nth} tweet of this author" for nth in ("first", "second", "third", "fourth")]
    assert diversity.because(0.25) == "one of many tweets of this author"
    for stage in (Creators(), FeedbackDiscount(), NewAuthorLift(), ReplyRepostDiscount(), Replies(), OutOfNetwork()):
        assert stage.because(0.5)
