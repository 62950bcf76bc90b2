from __future__ import annotations

import numpy as np

from funnel.core.arrays import Array, Ints
from funnel.core.products import PUSH, TIMELINE, Product
from funnel.core.tables import SERVED, TABLES
from funnel.core.world import Future, WorldTables
from funnel.store import check_tables
from synthetic.future import MadeFuture
from synthetic.generated import Generated
from synthetic.notifying import OONC, TURN_OFF
from tests.synthetic.towns import town

_MAIL = Product("mail", (), "notifications", "notification_actions")
_END_H = 168.0


def test_a_world_goes_on_for_both_products_and_no_other() -> None:
    timeline = MadeFuture(_world(), town().truth, seed=0)
    assert timeline.of(TIMELINE) is timeline
    assert timeline.of(PUSH) is not None
    assert timeline.of(_MAIL) is None
    assert Generated().future(_world(), town().truth, seed=0, product=_MAIL) is None
    assert isinstance(Generated().future(_world(), town().truth, seed=0), MadeFuture)


def test_people_are_considered_in_the_rhythm_of_the_day_and_as_often_as_asked() -> None:
    """A mean day of 2,000 people, who are considered five times; one in a hundred or so is suspended."""
    push = _alone()
    hours = [push.visitors(_world(), _END_H + t, _END_H + t + 1, per_day=None) for t in range(24)]
    assert 7_000 < sum(who.size for who in hours) < 10_000
    assert hours[4].size < 0.4 * hours[14].size
    few = sum(push.visitors(_world(), _END_H + t, _END_H + t + 1, per_day=240.0).size for t in range(24))
    assert 150 < few < 350
    for who in hours:
        assert (np.diff(who) > 0).all()
        assert not town().tables["users"]["suspended"][who].any()


def test_reactions_are_rows_after_the_moment_and_before_the_end_of_the_tick() -> None:
    world, push = _world(), _beside()
    shown = _shown(push.visitors(world, _END_H, _END_H + 0.1, per_day=40_000.0), world, _END_H)
    rows, glad = push.react(world, shown, _END_H, _END_H + 0.1)
    assert set(rows) == {"notification_actions", "notification_settings"}
    actions = rows["notification_actions"]
    assert actions["viewer"].size > 0
    assert glad.shape == shown["viewer"].shape
    assert (actions["time_h"] > _END_H).all()
    assert (actions["time_h"] < _END_H + 0.1).all()
    row = actions["impression"] - world.count("notifications")
    assert np.array_equal(actions["viewer"], shown["viewer"][row])
    assert np.array_equal(actions["tweet"], shown["tweet"][row])


def test_beside_a_timeline_nothing_else_happens() -> None:
    push = _beside()
    assert push.night(_world(), _END_H - 24.0, _END_H) == {}
    assert push.state() == {}


def test_alone_the_world_goes_on_writing_and_reading() -> None:
    world, push = _world(), _alone()
    grown, _ = _live(push, world, ticks=24)
    day = np.bincount((world.table("impressions")["time_h"] // 24).astype(int), minlength=7)[:5].mean()
    shown = grown.count("impressions") - world.count("impressions")
    assert 0.6 * day < shown < 1.6 * day
    assert grown.count("tweets") > world.count("tweets") + 500
    assert grown.count("engagements") > world.count("engagements")
    assert set(push.night(grown, _END_H, _END_H + 24.0)) <= {"users", "follows"}
    check_tables({name: dict(grown.table(name)) for name in TABLES if name != "texts"}, "grown")


def test_pages_alone_repeat_nothing_and_hold_nothing_of_ones_own() -> None:
    world, push = _world(), _alone()
    grown, _ = _live(push, world, ticks=3)
    page = {name: values[world.count("impressions") :] for name, values in grown.table("impressions").items()}
    assert (grown.table("tweets")["author"][page["tweet"]] != page["viewer"]).all()
    assert (np.diff(page["request"]) <= 1).all()
    assert page["request"][0] == world.table("impressions")["request"][-1] + 1
    pairs = page["request"].astype(np.int64) * grown.count("tweets") + page["tweet"]
    assert np.unique(pairs).size == pairs.size
    # Nobody was shown the tweet on one of the four pages before: at most 22 places each.
    for who in np.unique(page["viewer"])[:50]:
        mine = grown.table("impressions")["tweet"][grown.table("impressions")["viewer"] == who]
        for place in np.flatnonzero(page["viewer"] == who)[:5]:
            count = int((page["viewer"][place:] == who).sum())
            before = mine[: mine.size - count][-60:]
            assert page["tweet"][place] not in before


def test_whoever_turns_them_off_reacts_to_nothing_on_the_days_after() -> None:
    world, push = _world(), _alone()
    grown, _ = _live(push, world, ticks=6)
    settings = {
        name: values[world.count("notification_settings") :]
        for name, values in grown.table("notification_settings").items()
    }
    done = {
        name: values[world.count("notification_actions") :]
        for name, values in grown.table("notification_actions").items()
    }
    assert np.array_equal(np.sort(settings["user"]), np.sort(done["viewer"][done["action"] == TURN_OFF]))
    assert not settings["allowed"].any()
    off = np.unique(grown.table("notification_settings")["user"])
    shown = _shown(off, grown, _END_H + 6.0)
    rows, glad = push.react(grown, shown, _END_H + 6.0, _END_H + 7.0)
    assert rows["notification_actions"]["viewer"].size == 0
    assert rows["notification_settings"]["user"].size == 0
    assert (glad == 0).all()


def test_notifications_of_the_past_ticks_tire() -> None:
    """Everybody is notified in each hour of a day: the second day's opens are fewer than without the first day."""
    world = _world()
    push, rested = _beside(), _beside()
    everybody = np.flatnonzero(~world.table("users")["suspended"]).astype(np.int32)
    tired = world
    for t in range(12):
        shown = _shown(everybody, tired, _END_H + t)
        tired = tired.grown({"notifications": shown}, end_h=_END_H + t + 1)
    fresh = world.grown({}, end_h=_END_H + 12.0)
    shown = _shown(everybody, world, _END_H + 12.0)
    opened = []
    for future, then in ((push, tired), (rested, fresh)):
        actions = future.react(then, shown, _END_H + 12.0, _END_H + 13.0)[0]["notification_actions"]
        opened.append(int((actions["action"] == OONC).sum()))
    assert opened[0] < 0.75 * opened[1]


def test_the_same_seed_lives_the_same_and_a_restored_future_goes_on_alike() -> None:
    world = _world()
    once, rows = _live(_alone(), world, ticks=3)
    push = _alone()
    half, _ = _live(push, world, ticks=2)
    state = push.state()
    again = _alone()
    again.restore(half, state)
    resumed, last = _live(again, half, ticks=1, first=2)
    assert resumed.count("notification_actions") == once.count("notification_actions")
    for name in rows:
        for column in rows[name]:
            assert rows[name][column].tobytes() == last[name][column].tobytes(), (name, column)


def _world() -> WorldTables:
    return WorldTables(town().meta, town().tables)


def _alone() -> Future:
    future = Generated().future(_world(), town().truth, seed=0, product=PUSH)
    assert future is not None
    return future


def _beside() -> Future:
    future = MadeFuture(_world(), town().truth, seed=0).of(PUSH)
    assert future is not None
    return future


def _shown(viewer: Ints, world: WorldTables, now_h: float) -> dict[str, Array]:
    """A notification of some recent tweet for each of some viewers."""
    rng = np.random.default_rng(int(now_h))
    low, high = np.searchsorted(world.table("tweets")["time_h"], (now_h - 24.0, now_h))
    return {
        "viewer": viewer,
        "tweet": rng.integers(low, high, viewer.size).astype(np.int32),
        "time_h": np.full(viewer.size, now_h),
        "kind": np.zeros(viewer.size, np.int8),
        "arm": np.full(viewer.size, SERVED, np.int8),
        "propensity": np.full(viewer.size, np.nan, np.float32),
    }


def _live(
    push: Future, world: WorldTables, *, ticks: int, first: int = 0
) -> tuple[WorldTables, dict[str, dict[str, Array]]]:
    """The world some hours later, and the rows of the last of them."""
    rows: dict[str, dict[str, Array]] = {}
    for t in range(first, first + ticks):
        now_h = _END_H + t
        shown = _shown(push.visitors(world, now_h, now_h + 1.0, per_day=None), world, now_h)
        new, _ = push.react(world, shown, now_h, now_h + 1.0)
        rows = {name: dict(columns) for name, columns in {"notifications": shown, **new}.items()}
        world = world.grown(rows, end_h=now_h + 1.0)
    return world, rows
