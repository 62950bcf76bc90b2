"""The store keeps every edge, answers for any moment, and costs what it says; odd edges have defined meanings."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates.graphjet.counting import engaged_types
from candidates.graphjet.edges import CLICK, EDGE_TYPES, FAVORITE, QUOTE, RETWEET, UNFAVORITE, kind_of, node_of, pack
from candidates.graphjet.pages import HUGE_PAGE, large
from candidates.graphjet.reading import Reading, noted_owner, owner_of
from candidates.graphjet.store import TICK_H, BipartiteStore
from candidates.graphjet.world import world_store
from funnel.core import rng
from funnel.core.arrays import Array
from funnel.core.errors import ConfigError, DataError
from funnel.core.world import PlatformView
from tests.core.test_growth import halves
from tests.support import mini_world

USERS, TWEETS = 40, 60
Edge = tuple[int, int, int, float]


def random_edges(count: int, *, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    draw = rng.stream(seed, "edges")
    user, tweet = draw.integers(0, USERS, count), (TWEETS * draw.random(count) ** 2).astype(np.int64)
    return user, tweet, draw.integers(0, len(EDGE_TYPES), count), np.sort(draw.uniform(-5.0, 45.0, count))


def filled(count: int = 3000, *, per_segment: int = 700, **settings: int | bool) -> BipartiteStore:
    store = BipartiteStore(users=USERS, tweets=TWEETS, edges_per_segment=per_segment, **settings)  # type: ignore[arg-type]
    store.ingest(*random_edges(count))
    return store


def seen(reading: Reading, tweet: int) -> list[int]:
    """Bits of the types of every user's edges to a tweet."""
    return engaged_types(*reading, np.arange(USERS, dtype=np.int32), tweet, 5000).tolist()


def expected(edges: tuple[Array, Array, Array, Array], tweet: int, low: float, high: float) -> list[int]:
    bits = [0] * USERS
    for user, to, kind, time in zip(*edges, strict=True):
        if to == tweet and low <= time < high:
            bits[user] |= 1 << kind
    for user in range(USERS):  # a favourite before the last un-favourite is none
        kinds = [k for u, t, k, h in zip(*edges, strict=True) if u == user and t == tweet and low <= h < high]
        last = max((i for i, kind in enumerate(kinds) if kind == UNFAVORITE), default=-1)
        if FAVORITE not in kinds[last + 1 :]:
            bits[user] &= ~(1 << FAVORITE)
    return bits


def test_type_and_node_share_a_number() -> None:
    node = np.array([0, 5, (1 << 28) - 1, 7])
    kind = np.array([CLICK, QUOTE, UNFAVORITE, UNFAVORITE])
    packed = pack(node, kind)
    assert packed.dtype == np.int32
    assert node_of(packed).tolist() == node.tolist()
    assert kind_of(packed).tolist() == kind.tolist()


@given(count=st.integers(0, 400), per_segment=st.integers(1, 150), cuts=st.lists(st.integers(0, 400), max_size=4))
@settings(deadline=None, max_examples=40)
def test_what_goes_in_comes_out_however_it_is_handed_over(count: int, per_segment: int, cuts: list[int]) -> None:
    edges = random_edges(count, seed=count)
    store = BipartiteStore(users=USERS, tweets=TWEETS, edges_per_segment=per_segment)
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), count], strict=True):
        store.ingest(*(column[begin:end] for column in edges))
    assert len(store) == count
    assert store.segments == -(-count // per_segment)
    columns = (column.tolist() for column in edges[:3])
    assert Counter((u, t, k) for u, t, k, _ in store.edges()) == Counter(zip(*columns, strict=True))


def test_one_by_one_is_the_same_as_in_bulk() -> None:
    bulk, single = filled(900, per_segment=250), BipartiteStore(users=USERS, tweets=TWEETS, edges_per_segment=250)
    for user, tweet, kind, time_h in zip(*(column.tolist() for column in random_edges(900)), strict=True):
        single.add(user, tweet, kind, time_h)
    assert list(single.edges()) == list(bulk.edges())
    for now in (1.0, 44.0):
        assert seen(single.read(now), 0) == seen(bulk.read(now), 0)


@pytest.mark.parametrize("per_segment", [500, 3000, 5000])  # many segments, one that is sealed, one that is open
@pytest.mark.parametrize("window", [np.inf, 12.0])
def test_a_reading_has_the_edges_of_its_window_and_no_others(per_segment: int, window: float) -> None:
    store, edges = filled(per_segment=per_segment), random_edges(3000)
    for now in (-6.0, -4.0, 3.3, 20.0, 44.999, 60.0):
        # Ticks of 0.1 s: an edge just before either end may fall on the other side of it.
        near = min(np.abs(edges[3] - now).min(), np.abs(edges[3] - (now - window)).min())
        assert near > TICK_H
        for tweet in (0, 1, 30):
            assert seen(store.read(now, window_h=window), tweet) == expected(edges, tweet, now - window, now)


def test_an_edge_is_not_seen_at_its_own_moment_and_is_a_tick_later() -> None:
    store = BipartiteStore(users=2, tweets=2)
    store.ingest([0, 0], [0, 1], FAVORITE, [5.0, 6.0])
    for sealed in (False, True):
        if sealed:
            store.seal()
        for now, wanted in ((5.0, 0), (5.0 + 2 * TICK_H, 1), (6.0, 1), (7.0, 1)):
            assert engaged_types(*store.read(now), np.array([0], np.int32), 0, 9)[0] == wanted << FAVORITE


def test_later_edges_change_no_earlier_reading() -> None:
    store = filled(2000, per_segment=300)
    before = {now: seen(store.read(now), 1) for now in (0.0, 10.0, 20.0)}
    later = BipartiteStore(users=USERS, tweets=TWEETS, edges_per_segment=300)
    early = tuple(column[random_edges(2000)[3] < 20.0] for column in random_edges(2000))
    later.ingest(*early)
    later.ingest(np.zeros(500, int), np.ones(500, int), RETWEET, np.linspace(20.0, 90.0, 500))
    assert before == {now: seen(later.read(now), 1) for now in before}


def test_the_oldest_segment_is_dropped_whole() -> None:
    store = filled(3000, per_segment=500, max_segments=3)
    assert (store.segments, len(store), store.dropped_edges) == (3, 1500, 1500)
    store.add(0, 0, FAVORITE, 50.0)  # a new segment opens: again the oldest of three goes
    assert (store.segments, len(store), store.dropped_edges) == (3, 1001, 2000)
    assert min(time for *_, time in store.edges()) >= random_edges(3000)[3][2000] - TICK_H


def test_a_segment_ends_when_its_ticks_do() -> None:
    store = BipartiteStore(users=2, tweets=2)
    store.ingest([0, 0, 0], [0, 1, 1], FAVORITE, [0.0, 1.0, 24.0 * 20])  # 24 bits of 0.1 s are 19.4 days
    assert store.segments == 2
    assert [round(time) for *_, time in store.edges()] == [0, 1, 480]


def test_the_same_edge_twice_is_two_edges() -> None:
    store = BipartiteStore(users=2, tweets=2)
    store.ingest([1, 1], [0, 0], FAVORITE, [1.0, 2.0])
    assert [edge[:3] for edge in store.edges()] == [(1, 0, FAVORITE)] * 2


def test_an_edge_that_says_it_is_older_counts_as_made_when_it_arrived() -> None:
    store = BipartiteStore(users=1, tweets=3)
    store.ingest([0, 0], [0, 1], FAVORITE, [5.0, 3.0])
    store.add(0, 2, FAVORITE, 1.0)
    assert [round(time, 3) for *_, time in store.edges()] == [5.0, 5.0, 5.0]
    assert engaged_types(*store.read(4.0), np.array([0], np.int32), 1, 9)[0] == 0


def test_an_unfavourite_takes_back_a_favourite_and_without_one_changes_nothing() -> None:
    store = BipartiteStore(users=3, tweets=1)
    store.ingest([0, 0, 1, 2, 2, 2], [0] * 6, [FAVORITE, UNFAVORITE, UNFAVORITE, FAVORITE, UNFAVORITE, FAVORITE],
                 [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # fmt: skip
    who = np.arange(3, dtype=np.int32)
    likes = engaged_types(*store.read(9.0), who, 0, 9) >> FAVORITE & 1
    assert likes.tolist() == [0, 0, 1]  # the third changed their mind twice
    assert (engaged_types(*store.read(1.5), who, 0, 9) >> FAVORITE & 1).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("edge", "what"),
    [
        ((USERS, 0, 0, 1.0), f"users {USERS}"),
        ((-1, 0, 0, 1.0), "users -1"),
        ((0, TWEETS, 0, 1.0), f"tweets {TWEETS}"),
        ((0, 0, len(EDGE_TYPES), 1.0), "types 9"),
        ((0, 0, 0, np.nan), "time"),
        ((0, 0, 0, np.inf), "time"),
    ],
)
def test_unknown_nodes_types_and_times_are_refused(edge: Edge, what: str) -> None:
    store = BipartiteStore(users=USERS, tweets=TWEETS)
    with pytest.raises(DataError, match=what):
        store.add(*edge)
    with pytest.raises(DataError, match=what):
        store.ingest(*([value] for value in edge))
    assert len(store) == 0


def test_a_store_without_edges_has_answers() -> None:
    store = BipartiteStore(users=USERS, tweets=TWEETS)
    store.ingest([], [], [], [])
    store.seal()
    assert store.segments == 0
    assert seen(store.read(1.0), 0) == [0] * USERS


@pytest.mark.parametrize(
    "settings", [{"edges_per_segment": 0}, {"edges_per_segment": 1 << 25}, {"max_segments": 0}, {"users": -1}]
)
def test_impossible_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        BipartiteStore(**{"users": 1, "tweets": 1, **settings})  # type: ignore[arg-type]


def test_an_edge_costs_less_than_twelve_bytes() -> None:
    # 20 edges a node in 4 segments, as 1 M users with 20 M edges: 7 + 3 + 20/64 by both sides + 4 offsets of 4 B for
    # two nodes each 20 edges = 11.9125, and 7 + 0.8 by user alone. Nodes + 1 and rounding make it a little more.
    nodes, edges = 5000, 100_000
    draw = rng.stream(0, "bytes")
    columns = (draw.integers(0, nodes, edges), draw.integers(0, nodes, edges), FAVORITE, np.sort(draw.random(edges)))
    for both_sides, wanted in ((True, 11.9125), (False, 7.8)):
        store = BipartiteStore(users=nodes, tweets=nodes, edges_per_segment=edges // 4, both_sides=both_sides)
        store.ingest(*columns)
        assert store.segments == 4
        assert wanted <= store.nbytes / edges < wanted + 0.01
        store.read(1.0)  # what kernels read is the same memory
        assert store.nbytes / edges < wanted + 0.01


def test_a_copy_grows_without_changing_what_it_came_from() -> None:
    store = filled(1000, per_segment=300)
    other = store.grown(users=USERS + 5, tweets=TWEETS + 5)
    other.ingest([USERS + 1] * 400, [TWEETS + 2] * 400, RETWEET, np.linspace(50.0, 51.0, 400))
    assert (len(store), len(other)) == (1000, 1400)
    assert list(other.edges())[: 900 // 300 * 300] == list(store.edges())[: 900 // 300 * 300]
    assert seen(other.read(44.0), 2) == seen(store.read(44.0), 2)
    with pytest.raises(ConfigError, match="has"):
        other.grown(users=1, tweets=1)


def test_a_world_has_one_store_for_all_views_and_grows_it() -> None:
    start, rows = halves(30.0)
    early = PlatformView(start, 20.0)
    first = world_store(early)
    assert world_store(PlatformView(start, 30.0)) is first
    grown = start.grown(rows, end_h=48.0)
    extended, anew = world_store(PlatformView(grown, 48.0)), world_store(PlatformView(mini_world(), 48.0))
    assert world_store(early) is first
    assert len(first) < len(extended) == len(anew)
    assert Counter(edge[:3] for edge in extended.edges()) == Counter(edge[:3] for edge in anew.edges())


@pytest.mark.parametrize("users", [30, 3_000, 200_000])
def test_whose_edge_stands_at_a_place_is_known_from_the_notes(users: int) -> None:
    # With 200,000 users and 500 edges, 64 edges span more users than a byte can count.
    draw = rng.stream(users, "owners")
    store = BipartiteStore(users=users, tweets=10, edges_per_segment=500)
    store.ingest(draw.integers(0, users, 1_000), draw.integers(0, 10, 1_000), FAVORITE, np.sort(draw.random(1_000)))
    a = store.read(1.0).arrays
    for segment in range(2):
        truth = np.repeat(np.arange(users), np.diff(a.left_offsets[:, segment]))
        noted = [noted_owner(a.notes, a.note_start[segment], place) for place in range(500)]
        assert (np.array(noted) <= truth).all()
        assert [owner_of(a.left_offsets, a.notes, a.note_start, segment, place) for place in range(500)] == list(truth)


def test_large_arrays_begin_at_a_huge_page_and_small_ones_anywhere() -> None:
    for shape, dtype in (((3, 1 << 18), np.int32), ((5, 7), np.uint8), ((0, 2), np.int32)):
        array = large(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert not array.any()
        array[...] = 3
        assert (array == 3).all()
        assert array.nbytes < HUGE_PAGE // 2 or array.__array_interface__["data"][0] % HUGE_PAGE == 0
