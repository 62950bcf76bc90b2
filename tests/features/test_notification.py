"""Features of notifications: worked examples, and nothing of what comes later."""

from __future__ import annotations

import numpy as np
import pytest

from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.batch import CandidateBatch
from funnel.core.products import PUSH
from funnel.core.tables import RETWEET
from funnel.core.world import PlatformView
from funnel.features import FEATURES, NOTIFICATION_FEATURES, hydrate, model_features
from funnel.features.counts import NEVER_H
from funnel.features.logged import logged_batch
from tests.pushed import pushed_world
from tests.support import altered_after, fake_batch, mini_view, mini_world

NAMES = tuple(name for name, declared in FEATURES.items() if declared.group == "notification")
author_of = mini_world().table("tweets")["author"]
ME, OTHER = 0, 1
FIRST = 5  # a tweet
SAME_AUTHOR = int(np.flatnonzero(author_of == author_of[FIRST])[1])
ANOTHER = int(np.flatnonzero(author_of != author_of[FIRST])[0])


def asked(view: PlatformView, tweets: list[int], now_h: float = 40.0, viewer: int = ME) -> CandidateBatch:
    return hydrate(fake_batch([len(tweets)], viewers=[viewer], now_h=now_h, view=view, tweet=tweets), NAMES)


def test_counts_and_hours_are_those_of_the_viewers_own_log() -> None:
    # Sent to me at 10 h, 20 h, 39.5 h (and to somebody else at 39 h); asked at 40 h.
    sent = [(ME, ANOTHER, 10.0), (ME, FIRST, 20.0), (OTHER, FIRST, 39.0), (ME, SAME_AUTHOR, 39.5)]
    view = PlatformView(pushed_world(sent, done=[(0, "oonc", 10.2), (1, "dislike", 21.0)]), 48.0)
    found = asked(view, [FIRST, ANOTHER])
    assert found["notifications_1h"].tolist() == [1, 1]
    assert found["notifications_24h"].tolist() == [2, 2]  # those of 20 h and 39.5 h
    assert found["hours_since_notification"].tolist() == [0.5, 0.5]
    assert found["author_notifications_24h"].tolist() == [2, 0]  # the one by ANOTHER's author is 30 h old
    assert found["notified_h"].tolist() == [20, 30]
    assert found["notification_dislike_h"].tolist() == [19, 19]
    assert found["author_notification_dislike_h"].tolist() == [19, NEVER_H]
    np.testing.assert_allclose(found["notification_open_rate"], (1 + 1) / (3 + 10))
    assert found["hour_of_day"].tolist() == [16, 16]


def test_when_a_viewer_opens_is_seen_from_the_log() -> None:
    # The clock of the mini world begins at midnight. Sent at 16 h, opened at once; at 22 h and 28 h (4 h), dismissed.
    sent = [(ME, ANOTHER, 16.0), (ME, FIRST, 22.0), (ME, SAME_AUTHOR, 28.0)]
    done = [(0, "oonc", 16.0), (1, "dismiss", 22.0), (2, "dismiss", 28.0)]
    view = PlatformView(pushed_world(sent, done=done), 48.0)
    found = {name: values[0] for name in NAMES for values in [asked(view, [FIRST], 40.0)[name]]}  # at 16 h
    near = [2.0, 1.0, 0.0]  # 1 + cos of 0, 6 and 12 hours
    assert found["notification_open_rate_at_hour"] == pytest.approx((near[0] + 1) / (sum(near) + 10))
    assert found["notification_dismiss_rate_at_hour"] == pytest.approx((near[1] + near[2] + 2) / (sum(near) + 10))
    assert found["notification_dismiss_rate"] == pytest.approx((2 + 2) / (3 + 10))
    angle = 2 * np.pi * 16 / 24
    assert found["notification_open_hour_cos"] == pytest.approx(np.cos(angle) / 2)
    assert found["notification_open_hour_sin"] == pytest.approx(np.sin(angle) / 2)
    before = asked(view, [FIRST], 16.0)  # what happens at the moment itself is not known yet
    assert before["notification_open_rate_at_hour"][0] == pytest.approx(1 / 10)


def test_the_open_rate_of_a_kind_is_that_of_the_candidates_kind() -> None:
    sent = [(ME, ANOTHER, 20.0, 2), (ME, FIRST, 30.0, 0), (ME, FIRST, 31.0, 2), (OTHER, FIRST, 32.0, 2)]
    done = [(0, "oonc", 20.1), (3, "oonc", 32.1)]
    view = PlatformView(pushed_world(sent, done=done), 48.0)
    found = asked(view, np.flatnonzero(mini_world().table("tweets")["time_h"] < 40.0).tolist())
    rates = {0: 1 / 11, 1: 1 / 10, 2: 2 / 12}
    expected = [rates[kind] for kind in found["notification_kind"].tolist()]
    np.testing.assert_allclose(found["kind_notification_open_rate"], expected, rtol=1e-6)


def test_who_was_never_notified_has_a_defined_history() -> None:
    found = asked(PlatformView(pushed_world(), 48.0), [FIRST, ANOTHER])
    assert not found["notifications_24h"].any()
    assert found["hours_since_notification"].tolist() == [NEVER_H] * 2
    assert np.isinf(found["notified_h"]).all()
    assert found["notifications_allowed"].all()
    np.testing.assert_allclose(found["notification_open_rate"], 0.1)


def test_the_last_setting_before_the_request_holds() -> None:
    world = pushed_world(settings=[(ME, False, 10.0), (OTHER, False, 15.0), (ME, True, 20.0)])
    view = PlatformView(world, 48.0)
    said = [bool(asked(view, [FIRST], now_h)["notifications_allowed"][0]) for now_h in (10.0, 10.1, 20.0, 20.1)]
    assert said == [True, False, False, True]  # what is set at the moment itself is not known yet
    assert not asked(view, [FIRST], viewer=OTHER)["notifications_allowed"][0]


def test_a_copy_of_what_was_sent_was_sent() -> None:
    tweets = mini_world().table("tweets")
    retweets = np.flatnonzero(tweets["kind"] == RETWEET)
    parent = tweets["parent"][retweets]
    copied, times = np.unique(parent, return_counts=True)
    original = int(copied[times >= 2][0])
    one, two = retweets[parent == original][:2].tolist()
    view = PlatformView(pushed_world([(ME, one, 47.0)]), 48.0)
    found = asked(view, [original, one, two, FIRST], 48.0)["notified_h"]
    assert found.tolist() == [1, 1, 1, np.inf]


def test_the_kind_says_who_stands_for_the_tweet() -> None:
    view = mini_view()
    batch = hydrate(fake_batch(np.full(20, 20), now_h=40.0, view=view), ("notification_kind", "internal.follow_h"))
    tweets, done = view.tweets, view.engagements
    public = np.isin(done["action"], [ACTION_CODE[name] for name in PUBLIC_ACTIONS]) & (done["time_h"] < 40.0)
    for row in range(len(batch)):
        me, tweet = batch.viewer[row], batch["tweet"][row]
        original = tweets["parent"][tweet] if tweets["kind"][tweet] == RETWEET else tweet
        graph = view.following
        circle = graph.neighbours(me)[graph.time_h[graph.offsets[me] : graph.offsets[me + 1]] < 40.0]
        engaged = done["viewer"][public & (done["tweet"] == original)]
        expected = 0 if batch["author"][row] in circle else 1 if np.isin(engaged, circle).any() else 2
        assert batch["notification_kind"][row] == expected
    assert set(batch["notification_kind"].tolist()) == {0, 1, 2}


def test_notifications_of_the_candidates_kind_are_counted() -> None:
    sent = [(ME, ANOTHER, 20.0, 2), (ME, FIRST, 30.0, 0), (ME, FIRST, 31.0, 2), (OTHER, FIRST, 32.0, 2)]
    view = PlatformView(pushed_world(sent), 48.0)
    everything = np.flatnonzero(mini_world().table("tweets")["time_h"] < 40.0).tolist()
    found = asked(view, everything)
    per_kind = {0: 1, 1: 0, 2: 2}
    assert found["kind_notifications_24h"].tolist() == [per_kind[kind] for kind in found["notification_kind"].tolist()]


def test_a_log_of_the_future_is_invisible() -> None:
    # A clock that jumps back: the newest notification lies after the request's moment.
    sent = [(ME, FIRST, 20.0), (ME, FIRST, 45.0)]
    view = PlatformView(pushed_world(sent, done=[(1, "dislike", 45.5)], settings=[(ME, False, 46.0)]), 48.0)
    found = asked(view, [FIRST], 40.0)
    assert found["hours_since_notification"][0] == 20
    assert found["notification_dislike_h"][0] == NEVER_H
    assert found["notifications_24h"][0] == 1
    assert found["notifications_allowed"][0]


@pytest.mark.parametrize("now_h", [24.0, 40.0])
def test_no_notification_feature_sees_the_future(now_h: float) -> None:
    here = fake_batch(np.full(20, 20), now_h=now_h, view=mini_view())
    later = PlatformView(altered_after(mini_world(), now_h), 48.0)
    there = fake_batch(np.full(20, 20), now_h=now_h, view=later, tweet=here["tweet"], viewers=here.requests.viewer)
    for name in NAMES:
        np.testing.assert_array_equal(hydrate(here, NAMES)[name], hydrate(there, NAMES)[name], err_msg=name)


def test_what_push_rankers_learn_from_is_finite_and_varies_over_the_log() -> None:
    view = mini_view()
    rows = np.arange(view.notifications["viewer"].size)
    batch = hydrate(logged_batch(view, rows, PUSH), NOTIFICATION_FEATURES)
    assert not set(NOTIFICATION_FEATURES) & set(model_features())
    for name in NOTIFICATION_FEATURES:
        assert np.isfinite(batch[name]).all(), name
        assert np.unique(batch[name]).size > 1, name


def test_the_hour_of_the_day_stays_below_24() -> None:
    hours = [23.0, np.nextafter(24.0, 0.0), 24.0, 47.5]
    batch = fake_batch([1] * 4, view=mini_view(), now_h=hours, tweet=[0, 0, 0, 0])
    assert hydrate(batch, ("hour_of_day",))["hour_of_day"].tolist() == [23.0, 0.0, 0.0, 23.5]
