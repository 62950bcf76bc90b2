"""Event indices and views against brute force over the tables: exact at any moment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.core.actions import ACTION_CODE, PUBLIC_ACTIONS
from funnel.core.arrays import Array
from funnel.core.errors import ContractError
from funnel.core.events import Adjacency, EventIndex
from funnel.core.kernels.grouping import pair_keys
from funnel.core.tables import FEEDBACK_KINDS
from funnel.core.world import PlatformView, WorldTables
from tests.support import altered_after, mini_view

# Moments on a coarse grid, so that events at exactly the moment asked about are common.
TIMES = st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 12)), max_size=40)


def _dense(events: list[tuple[int, int]]) -> tuple[EventIndex, Array, Array]:
    ordered = sorted(events, key=lambda event: event[1])
    keys = np.array([key for key, _ in ordered], np.int64)
    time_h = np.array([moment / 2 for _, moment in ordered], np.float64)
    return EventIndex.dense(keys, time_h, 5), keys, time_h


def _questions() -> tuple[Array, Array]:
    slots, moments = np.meshgrid(np.arange(5), np.arange(0, 7, 0.5), indexing="ij")
    return slots.ravel().astype(np.int64), moments.ravel().astype(np.float64)


@given(events=TIMES)
def test_count_is_the_number_of_events_strictly_before(events: list[tuple[int, int]]) -> None:
    index, keys, time_h = _dense(events)
    slots, now_h = _questions()
    expected = [int(((keys == s) & (time_h < t)).sum()) for s, t in zip(slots, now_h, strict=True)]
    assert index.count(slots, now_h).tolist() == expected


@given(events=TIMES)
def test_last_is_the_newest_event_strictly_before(events: list[tuple[int, int]]) -> None:
    index, keys, time_h = _dense(events)
    slots, now_h = _questions()
    expected = [max([*time_h[(keys == s) & (time_h < t)].tolist(), -np.inf]) for s, t in zip(slots, now_h, strict=True)]
    assert index.last_h(slots, now_h).tolist() == expected
    rows = index.last_row(slots, now_h)  # events stand in the order of time, those of one moment in that of the table
    for row, slot, moment in zip(rows.tolist(), slots.tolist(), now_h.tolist(), strict=True):
        earlier = np.flatnonzero((keys == slot) & (time_h < moment))
        assert row == (earlier.max() if earlier.size else -1)


@given(events=TIMES, half_life_h=st.sampled_from([0.5, 4.0, 24.0]))
def test_decayed_weighs_an_event_of_age_a_by_two_to_minus_a(events: list[tuple[int, int]], half_life_h: float) -> None:
    index, keys, time_h = _dense(events)
    slots, now_h = _questions()
    expected = [
        float((2.0 ** (-(t - time_h[(keys == s) & (time_h < t)]) / half_life_h)).sum())
        for s, t in zip(slots, now_h, strict=True)
    ]
    found = index.decayed(slots, now_h, half_life_h=half_life_h)
    assert found.dtype == np.float32
    # At most 40 terms summed in float32 one after the other: 40 x 2^-24 relative, far below 1e-5.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@given(events=TIMES, horizon=st.integers(0, 12))
def test_no_answer_looks_past_the_horizon(events: list[tuple[int, int]], horizon: int) -> None:
    index, keys, time_h = _dense(events)
    cut = index.until(horizon / 2)
    before = time_h < horizon / 2
    only = EventIndex.dense(keys[before], time_h[before], 5)
    slots, now_h = _questions()
    assert np.array_equal(cut.count(slots, now_h), only.count(slots, now_h))
    assert np.array_equal(cut.last_h(slots, now_h), only.last_h(slots, now_h))


@given(events=TIMES)
def test_sparse_keys_answer_as_dense_ones(events: list[tuple[int, int]]) -> None:
    dense, keys, time_h = _dense(events)
    sparse = EventIndex.sparse(np.where(keys < 0, -1, keys * 10**10), time_h)
    slots, now_h = _questions()
    assert np.array_equal(sparse.count(sparse.slots(slots * 10**10), now_h), dense.count(slots, now_h))
    assert sparse.slots(np.array([-1, 7])).tolist() == [-1, -1]


def test_nothing_is_known_of_a_slot_that_does_not_exist() -> None:
    index, _, _ = _dense([(0, 1), (1, 2)])
    nowhere, now = np.array([-1]), np.array([6.0])
    assert index.count(nowhere, now).tolist() == [0]
    assert index.last_h(nowhere, now).tolist() == [-np.inf]
    assert index.last_row(nowhere, now).tolist() == [-1]
    assert index.decayed(nowhere, now, half_life_h=1.0).tolist() == [0.0]


def test_a_pair_with_a_missing_half_has_no_key() -> None:
    assert pair_keys(np.array([1, -1, 2]), np.array([0, 3, -1])).tolist() == [1 << 32, -1, -1]


def _rows_of(world: WorldTables, what: str) -> tuple[Array, Array, Array, Array]:
    """(viewer, tweet, author, time) of the events called `what`, from the tables themselves."""
    tweets = world.table("tweets")
    if what == "tweet":
        return tweets["author"], np.arange(tweets["author"].size), tweets["author"], tweets["time_h"]
    if what in ("see_fewer", "block", "mute", "mute_keyword"):
        table = world.table("feedback")
        chosen = table["kind"] == FEEDBACK_KINDS.index(what)
        return table["user"][chosen], table["tweet"][chosen], table["author"][chosen], table["time_h"][chosen]
    table = world.table("impressions" if what == "impression" else "engagements")
    names = PUBLIC_ACTIONS if what == "public" else (what,)
    chosen = np.ones(table["tweet"].size, np.bool_)
    if what != "impression":
        chosen = np.isin(table["action"], [ACTION_CODE[name] for name in names])
    tweet = table["tweet"][chosen]
    return table["viewer"][chosen], tweet, tweets["author"][tweet], table["time_h"][chosen]


@pytest.mark.parametrize("by", ["tweet", "viewer", "author", "viewer_author", "viewer_tweet"])
@pytest.mark.parametrize("what", ["impression", "favorite", "public", "negative_feedback"])
def test_a_view_counts_what_the_tables_say_before_each_moment(world: WorldTables, what: str, by: str) -> None:
    view = PlatformView(world, 36.0)
    viewer, tweet, author, time_h = _rows_of(world, what)
    keys = {
        "tweet": tweet,
        "viewer": viewer,
        "author": author,
        "viewer_author": pair_keys(viewer, author),
        "viewer_tweet": pair_keys(viewer, tweet),
    }[by]
    index = view.events(what, by=by)
    asked = np.unique(keys)[:40]
    for moment in (0.0, 20.0, 36.0, 48.0):
        seen = time_h < min(moment, 36.0)
        expected = [int((seen & (keys == key)).sum()) for key in asked]
        assert index.count(index.slots(asked), np.full(asked.size, moment)).tolist() == expected


@pytest.mark.parametrize("what", ["block", "mute", "see_fewer", "mute_keyword", "tweet"])
def test_the_rows_of_an_index_point_into_the_table_of_its_events(world: WorldTables, what: str) -> None:
    index = mini_view().events(what, by="viewer")
    table = world.table("tweets" if what == "tweet" else "feedback")
    assert np.array_equal(table["time_h"][index.row], index.time_h)
    owner = np.repeat(np.arange(world.count("users")), np.diff(index.offsets))
    assert np.array_equal(table["author" if what == "tweet" else "user"][index.row], owner)


def test_a_view_at_a_moment_is_blind_to_what_comes_later(world: WorldTables) -> None:
    now_h = 30.0
    first, second = PlatformView(world, now_h), PlatformView(altered_after(world, now_h), now_h)
    for table in ("tweets", "impressions", "engagements", "feedback"):
        one, other = getattr(first, table), getattr(second, table)
        assert one["time_h"].size > 0
        assert one["time_h"].max() < now_h
        for name in one:
            assert np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f"), (table, name)


def test_a_view_does_not_look_forward() -> None:
    with pytest.raises(ContractError, match="after this view's own moment"):
        mini_view(10.0).at(11.0)
    assert mini_view(10.0).at(9.0).now_h == 9.0


def test_tweets_before_a_moment_are_a_prefix(world: WorldTables) -> None:
    view = PlatformView(world, 24.0)
    time_h = world.table("tweets")["time_h"]
    moments = np.array([0.0, time_h[10], 24.0, 40.0])
    # Strictly before: at the very moment of tweet 10 there are ten; past the view's own moment nothing is added.
    cut = int((time_h < 24.0).sum())
    assert view.tweets_before(moments).tolist() == [0, 10, cut, cut]


def test_an_unknown_kind_of_event_names_its_neighbours(view: PlatformView) -> None:
    with pytest.raises(ContractError, match="did you mean 'favorite'"):
        view.events("favourite", by="tweet")
    with pytest.raises(ContractError, match="viewer_tweet"):
        view.events("favorite", by="viewer_tweets")


def test_neighbours_are_sorted_and_both_directions_agree(view: PlatformView) -> None:
    follows = view._world.table("follows")
    pairs = set(zip(follows["follower"].tolist(), follows["followee"].tolist(), strict=True))
    there = {(u, int(v)) for u in range(view.user_count) for v in view.following.neighbours(u)}
    back = {(int(u), v) for v in range(view.user_count) for u in view.followers.neighbours(v)}
    assert there == pairs
    assert back == pairs
    for user in range(view.user_count):
        assert bool((np.diff(view.following.neighbours(user)) > 0).all())
    assert int(view.following.degree().sum()) == len(pairs)


def test_an_edge_keeps_its_own_time() -> None:
    graph = Adjacency.of(np.array([1, 0, 1]), np.array([2, 1, 0]), np.array([5.0, 6.0, 7.0]), 3)
    # Node 0 -> 1 at 6; node 1 -> 0 at 7 and 2 at 5; node 2 has none.
    assert graph.offsets.tolist() == [0, 1, 3, 3]
    assert graph.targets.tolist() == [1, 0, 2]
    assert graph.time_h.tolist() == [6.0, 7.0, 5.0]
