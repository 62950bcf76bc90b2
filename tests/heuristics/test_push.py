"""Quality control of notifications: each rule at its edge, odd clocks, and viewers who get nothing."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from funnel.core.batch import CandidateBatch
from funnel.core.stage import Filter
from funnel.core.world import PlatformView, WorldTables
from funnel.features import FEATURES, hydrate
from heuristics.push.already_notified import AlreadyNotified
from heuristics.push.author_fatigue import AuthorFatigue
from heuristics.push.daily_cap import DailyCap
from heuristics.push.dislike_cooldown import DislikeCooldown
from heuristics.push.hourly_cap import HourlyCap
from heuristics.push.kind_fatigue import KindFatigue
from heuristics.push.minimum_score import MinimumScore
from heuristics.push.notifications_off import NotificationsOff
from heuristics.push.quiet_hours import QuietHours
from heuristics.push.seen_in_timeline import SeenInTimeline
from tests.pushed import pushed_world
from tests.support import fake_batch, mini_world

ME, OTHER, END_H = 0, 1, 48.0
ALL: tuple[Filter, ...] = (
    NotificationsOff(),
    DailyCap(),
    HourlyCap(),
    QuietHours(),
    MinimumScore(),
    AuthorFatigue(),
    KindFatigue(),
    DislikeCooldown(),
    SeenInTimeline(),
    AlreadyNotified(),
)


def asked(world: WorldTables, tweets: list[int], now_h: float, *, viewer: int = ME) -> CandidateBatch:
    value, chosen = np.full(len(tweets), 0.5, np.float32), np.array(tweets, np.int32)
    view = PlatformView(world, END_H)
    return fake_batch([len(tweets)], viewers=[viewer], now_h=now_h, view=view, tweet=chosen, value=value)


def kept(stage: Filter, batch: CandidateBatch) -> list[bool]:
    said: list[bool] = stage.keep(hydrate(batch, [name for name in stage.needs if name in FEATURES])).tolist()
    return said


def test_a_viewer_with_notifications_off_gets_nothing_until_they_are_on_again() -> None:
    world = pushed_world(settings=[(ME, False, 10.0), (ME, True, 30.0)])
    assert kept(NotificationsOff(), asked(world, [1, 2], 20.0)) == [False, False]
    assert kept(NotificationsOff(), asked(world, [1, 2], 20.0, viewer=OTHER)) == [True, True]
    assert kept(NotificationsOff(), asked(world, [1, 2], 30.5)) == [True, True]


@pytest.mark.parametrize(("per_day", "expected"), [(0, False), (2, False), (3, True)])
def test_the_daily_cap_counts_the_last_24_hours(per_day: int, expected: bool) -> None:
    # Asked at 40 h: 15.9 h is more than a day ago, 16 h and 39 h are not.
    world = pushed_world([(ME, 1, 15.9), (ME, 2, 16.0), (ME, 3, 39.0)])
    assert kept(DailyCap(per_day=per_day), asked(world, [1], 40.0)) == [expected]


def test_the_gap_and_the_hour_are_kept_apart() -> None:
    world = pushed_world([(ME, 1, 36.0), (ME, 2, 36.5)])
    assert kept(HourlyCap(), asked(world, [1], 40.4)) == [False]  # 3.9 h ago
    assert kept(HourlyCap(), asked(world, [1], 40.5)) == [True]  # 4 h ago
    close = asked(world, [1], 36.75)
    assert kept(HourlyCap(min_gap_h=0.0, per_hour=2), close) == [False]
    assert kept(HourlyCap(min_gap_h=0.0, per_hour=3), close) == [True]


@pytest.mark.parametrize(
    ("from_h", "until_h", "hour", "expected"),
    [
        (22, 7, 21.9, True), (22, 7, 22.0, False), (22, 7, 3.0, False), (22, 7, 7.0, True),
        (1, 5, 0.5, True), (1, 5, 1.0, False), (1, 5, 5.0, True), (6, 6, 6.0, True), (6, 6, 12.0, True),
    ],
)  # fmt: skip
def test_quiet_hours_may_pass_midnight(from_h: float, until_h: float, hour: float, expected: bool) -> None:
    batch = asked(pushed_world(), [0], 24.0 + hour)
    assert kept(QuietHours(from_h=from_h, until_h=until_h), batch) == [expected]


def test_all_candidates_below_the_minimum_means_no_notification() -> None:
    batch = asked(pushed_world(), [0, 1, 2], 40.0).with_columns({"value": np.array([0.1, 0.0999, 0.0], np.float32)})
    assert kept(MinimumScore(), batch) == [True, False, False]
    assert kept(MinimumScore(min_value=0.2), batch) == [False] * 3
    assert kept(MinimumScore(min_value=0.0), batch) == [True] * 3


def test_fatigue_of_an_author_and_of_a_kind_end_after_a_day() -> None:
    author = mini_world().table("tweets")["author"]
    first = 5
    same, another = (int(np.flatnonzero(mask)[1]) for mask in (author == author[first], author != author[first]))
    world = pushed_world([(ME, first, 20.0, 0), (ME, first, 20.0, 1), (ME, first, 20.0, 2)])
    assert kept(AuthorFatigue(per_day=3), asked(world, [same, another], 30.0)) == [False, True]
    assert kept(AuthorFatigue(per_day=4), asked(world, [same, another], 30.0)) == [True, True]
    assert kept(AuthorFatigue(), asked(world, [same, another], 44.1)) == [True, True]
    assert kept(KindFatigue(per_day=1), asked(world, [same, another], 30.0)) == [False, False]
    assert kept(KindFatigue(per_day=2), asked(world, [same, another], 30.0)) == [True, True]


def test_a_dislike_stops_everything_for_days_and_the_author_for_longer() -> None:
    author = mini_world().table("tweets")["author"]
    same, another = (int(np.flatnonzero(mask)[0]) for mask in (author == author[5], author != author[5]))
    world = pushed_world([(ME, 5, 10.0)], done=[(0, "dislike", 12.0)])
    day = DislikeCooldown(days=1.0, author_days=1.25)
    assert kept(day, asked(world, [same, another], 35.9)) == [False, False]
    assert kept(day, asked(world, [same, another], 36.0)) == [False, True]
    assert kept(day, asked(world, [same, another], 42.0)) == [True, True]
    assert kept(day, asked(world, [same, another], 35.9, viewer=OTHER)) == [True, True]


def test_what_was_seen_or_sent_is_not_sent() -> None:
    shown = mini_world().table("impressions")
    viewer, tweet, time_h = int(shown["viewer"][50]), int(shown["tweet"][50]), float(shown["time_h"][50])
    world = pushed_world([(viewer, tweet, time_h - 0.5)])
    assert kept(SeenInTimeline(), asked(world, [tweet], time_h + 0.1, viewer=viewer)) == [False]
    assert kept(AlreadyNotified(), asked(world, [tweet], time_h + 0.1, viewer=viewer)) == [False]
    assert kept(AlreadyNotified(), asked(world, [tweet], time_h + 0.1, viewer=viewer + 1)) == [True]
    assert kept(AlreadyNotified(), asked(world, [tweet], time_h - 0.5, viewer=viewer)) == [True]


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.name)
def test_no_candidates_and_no_log_are_answered(stage: Filter) -> None:
    assert kept(stage, asked(pushed_world(), [], 40.0)) == []
    assert kept(stage, asked(pushed_world(), [0], 40.0, viewer=mini_world().count("users") - 1)) == [True]


@pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.name)
def test_a_clock_that_jumps_back_does_not_see_what_was_sent_later(stage: Filter) -> None:
    later = [(ME, tweet, 41.0 + tweet / 10) for tweet in range(20)]
    done = [(row, "dislike", 44.0) for row in range(20)]
    world = pushed_world(later, done=done, settings=[(ME, False, 45.0)])
    tweets = np.arange(20).tolist()
    assert kept(stage, asked(world, tweets, 40.0)) == kept(stage, asked(pushed_world(), tweets, 40.0))


@pytest.mark.parametrize("stage", [DailyCap(), HourlyCap(), AuthorFatigue(), KindFatigue()], ids=lambda s: s.name)
def test_a_gap_of_days_in_the_log_forgets_the_caps(stage: Filter) -> None:
    long_ago = [(ME, tweet, -100.0 + tweet / 10) for tweet in range(20)]
    assert kept(stage, asked(pushed_world(long_ago), [3], 40.0)) == [True]


def test_settings_out_of_range_are_refused() -> None:
    for make in (
        lambda: DailyCap(per_day=-1),
        lambda: HourlyCap(min_gap_h=73.0),
        lambda: QuietHours(from_h=24.0),
        lambda: DislikeCooldown(days=31.0),
        lambda: MinimumScore(min_value=float("nan")),
    ):
        with pytest.raises(ValidationError):
            make()
