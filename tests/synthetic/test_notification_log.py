from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from funnel.core.actions import PUSH_ACTION_NAMES, PUSH_ACTIONS
from funnel.core.arrays import Array, Bools
from funnel.core.errors import ConfigError
from funnel.core.products import PUSH
from funnel.core.progress import SILENT
from funnel.core.tables import BLOCK, EXPLORED, FIRST_DEGREE, FOLLOWED, MUTE, POPULAR, RETWEET
from funnel.core.world import WorldTables
from funnel.store import check_tables
from synthetic.generated import Generated
from synthetic.notifying import OONC, OPEN, TURN_OFF
from synthetic.settings import NotificationRates
from tests.synthetic.towns import configured, oracle, town

_NEW_TABLES = {"notifications", "notification_actions", "notification_settings"}
_NEW_TRUTH = {"notice", "push_weights", "push_intercepts"}


def test_notifications_change_no_other_table_truth_or_draw() -> None:
    """The same town with another volume and other rates, and with none at all."""
    some, other, none = (
        configured("tiny", users=100, tweets=1_500, **changed).build("t", 3, SILENT)
        for changed in (
            {},
            {"notifications_per_user_day": 9.0, "notification_rates": {"oonc": 0.2}},
            {"notifications_per_user_day": 0.0},
        )
    )
    for changed in (other, none):
        for name in set(some.tables) - _NEW_TABLES:
            for column, values in some.tables[name].items():
                same = changed.tables[name][column]
                assert (
                    values.tolist() == same.tolist() if values.dtype == object else values.tobytes() == same.tobytes()
                )
        for name in set(some.truth) - _NEW_TRUTH:
            assert some.truth[name].tobytes() == changed.truth[name].tobytes()


def test_a_world_without_notifications_has_none_and_knows_how_people_would_react() -> None:
    data = configured("tiny", notifications_per_user_day=0.0).build("t", 0, SILENT)
    check_tables(data.tables, "t")
    assert data.tables["notifications"]["viewer"].size == 0
    assert data.tables["notification_actions"]["viewer"].size == 0
    assert data.tables["notification_settings"]["user"].size > 0
    model = Generated().oracle(WorldTables(data.meta, data.tables), data.truth)
    assert model is not None
    push = model.of(PUSH)  # type: ignore[attr-defined]
    viewer, place = np.arange(300, dtype=np.int32), np.zeros(300, np.int32)
    tweet = np.arange(5_700, 6_000, dtype=np.int32)
    p = push.probabilities(viewer, tweet, place, np.full(300, 180.0))  # the next noon
    assert 0.005 < p[:, OONC].mean() < 0.15


def test_the_log_is_what_the_oracle_of_the_finished_world_would_have_viewers_do() -> None:
    """Point-in-time: reactions of the past depend on what was before them, so the grown log does not change them."""
    log = town().tables["notifications"]
    model = oracle().of(PUSH)
    assert model is not None
    did = model.react(log["viewer"], log["tweet"], np.zeros_like(log["viewer"]), log["time_h"], seed=0)
    assert np.array_equal(did, _reactions())


def test_actions_happen_about_as_often_as_the_settings_say() -> None:
    """29,000 notifications; five standard errors, and 2 % for the calibration."""
    rates, share = NotificationRates().column(), _reactions().mean(axis=0)
    tolerance = 5 * np.sqrt(rates / _reactions().shape[0]) + 0.02 * rates
    assert (np.abs(share - rates) < tolerance).all()


def test_as_many_are_sent_as_the_settings_say_in_the_rhythm_of_the_day() -> None:
    log = town().tables["notifications"]
    off = np.unique(town().tables["notification_settings"]["user"]).size
    assert log["viewer"].size == pytest.approx((2_000 - off) * 7 * 4.0, rel=0.05)
    hour = log["time_h"] % 24.0
    night, evening = (hour > 2) & (hour < 6), (hour > 18) & (hour < 22)
    assert 0.02 < night.mean() < 0.5 * evening.mean()
    opened = _reactions()[:, OONC]
    assert opened[night].mean() < 0.5 * opened[evening].mean()


def test_viewers_who_turn_them_off_get_no_more() -> None:
    tables = town().tables
    log, settings, done = tables["notifications"], tables["notification_settings"], tables["notification_actions"]
    assert not settings["allowed"].any()
    assert np.unique(settings["user"]).size == settings["user"].size
    early = settings["time_h"] < 0
    assert early.mean() > 0.5
    assert early.sum() == pytest.approx(0.15 * 2_000, rel=0.2)
    turned = np.unique(done["viewer"][done["action"] == TURN_OFF])
    assert np.array_equal(turned, np.sort(settings["user"][~early]))
    off_h = np.full(2_000, np.inf)
    off_h[settings["user"]] = settings["time_h"]
    assert (log["time_h"] <= off_h[log["viewer"]]).all()
    last = np.array([log["time_h"][log["viewer"] == user].max() for user in turned])
    assert (last < off_h[turned]).all()


def test_arms_show_what_they_say() -> None:
    tables = town().tables
    log, tweets = tables["notifications"], tables["tweets"]
    assert np.bincount(log["arm"]) / log["arm"].size == pytest.approx([0.5, 0.25, 0.25], abs=0.03)
    assert (log["kind"][log["arm"] == FOLLOWED] == FIRST_DEGREE).all()
    others = log["arm"] != FOLLOWED
    assert (tweets["kind"][log["tweet"][others]] != RETWEET).all()
    author = tweets["author"][log["tweet"]]
    assert not tables["users"]["suspended"][author].any()
    assert not tables["users"]["protected"][author[others]].any()
    assert (author != log["viewer"]).all()
    assert set(log["arm"].tolist()) == {FOLLOWED, POPULAR, EXPLORED}


def test_propensities_are_the_arms_share_times_the_tweets() -> None:
    """FOLLOWED: one of at most three tweets, 1/2 of the times; more if another arm finds nothing in the first hours."""
    log = town().tables["notifications"]
    late = log["time_h"] > 48
    for arm, share in ((FOLLOWED, 0.5), (POPULAR, 0.25), (EXPLORED, 0.25)):
        chosen = log["propensity"][late & (log["arm"] == arm)]
        assert ((chosen > 0) & (chosen <= 1)).all()
        assert chosen.min() <= share
    followed = log["propensity"][late & (log["arm"] == FOLLOWED)]
    assert np.median(followed) == pytest.approx(0.5 / 3)
    assert log["propensity"][late & (log["arm"] == EXPLORED)].max() < 0.001


def test_nothing_is_sent_before_it_is_written_long_after_or_twice() -> None:
    log, tweets = town().tables["notifications"], town().tables["tweets"]
    age_h = log["time_h"] - tweets["time_h"][log["tweet"]]
    assert age_h.min() > 0
    assert age_h.max() < 50
    pairs = log["viewer"].astype(np.int64) * 30_000 + log["tweet"]
    assert np.unique(pairs).size == pairs.size


def test_blocked_and_muted_authors_are_not_sent_in_later_hours() -> None:
    tables = town().tables
    log, feedback = tables["notifications"], tables["feedback"]
    barring = np.flatnonzero(np.isin(feedback["kind"], (BLOCK, MUTE)))
    since: dict[tuple[int, int], float] = {}
    for row in barring:  # in order of time: the first counts
        pair = int(feedback["user"][row]), int(feedback["author"][row])
        since.setdefault(pair, float(np.floor(feedback["time_h"][row])) + 1.0)
    author = tables["tweets"]["author"][log["tweet"]]
    sent = zip(log["viewer"].tolist(), author.tolist(), log["time_h"].tolist(), strict=True)
    assert len(since) > 50
    assert not any(time_h >= since.get((user, who), np.inf) for user, who, time_h in sent)


def test_actions_follow_their_notification_within_minutes_and_in_order() -> None:
    tables = town().tables
    done, log = tables["notification_actions"], tables["notifications"]
    assert (np.diff(done["time_h"]) >= 0).all()
    for column in ("viewer", "tweet"):
        assert np.array_equal(done[column], log[column][done["impression"]])
    wait_h = done["time_h"] - log["time_h"][done["impression"]]
    assert wait_h.min() > 0
    assert wait_h.max() < 0.2
    assert done["time_h"].max() < town().meta.end_h
    # What is opened from the lock screen is opened sooner than what is found in the tab.
    opened, in_tab = (np.median(wait_h[done["action"] == code]) for code in (OPEN, OPEN + 1))
    assert opened < in_tab


def test_settings_out_of_their_bounds_and_contradictory_ones_are_refused() -> None:
    for wrong in (
        {"notifications_per_user_day": -1.0},
        {"notifications_off_share": 1.2},
        {"notification_shares": (0.5, 0.5)},
        {"notification_rates": {"oonc": 1.0}},
        {"notification_rates": {"open": 0.1}},
        {"notified": {"night": -1.0}},
    ):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            Generated(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"notification_shares: want a sum of 1, got 0\.9"):
        Generated(notification_shares=(0.5, 0.3, 0.1))
    with pytest.raises(ConfigError, match=r"notification_rates\.engage: happens within 'oonc'"):
        NotificationRates(engage=0.06)
    with pytest.raises(ConfigError, match="want a sum below 1"):
        NotificationRates(oonc=0.5, dismiss=0.6)


def test_there_is_a_rate_for_each_action_of_a_notification() -> None:
    rates = dict(zip(PUSH_ACTION_NAMES, NotificationRates().column(), strict=True))
    assert rates["open"] + rates["ntab_click"] == pytest.approx(rates["oonc"])
    assert all(rate > 0 for rate in rates.values())


@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_a_policy_of_one_arm_sends_from_that_arm(shares: tuple[float, float, float]) -> None:
    data = configured("tiny", users=60, tweets=600, notification_shares=shares).build("t", 0, SILENT)
    assert set(data.tables["notifications"]["arm"].tolist()) == {int(np.argmax(shares))}


def test_a_town_in_which_everybody_has_them_off_has_an_empty_log() -> None:
    data = configured("tiny", users=60, tweets=600, notifications_off_share=1.0).build("t", 0, SILENT)
    check_tables(data.tables, "t")
    assert data.tables["notifications"]["viewer"].size == 0
    assert data.tables["notification_settings"]["user"].size == 60
    assert np.isfinite(data.truth["push_intercepts"]).all()


def _reactions() -> Bools:
    """bool [n, 7]: what the log says that viewers did."""
    done: dict[str, Array] = dict(town().tables["notification_actions"])
    did = np.zeros((town().tables["notifications"]["viewer"].size, len(PUSH_ACTIONS)), np.bool_)
    did[done["impression"], done["action"]] = True
    return did
