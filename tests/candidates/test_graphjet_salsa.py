"""SALSA agrees with the exact chain: walks within their sampling error, the subgraph version to rounding."""

from __future__ import annotations

import numpy as np
import pytest

from candidates.graphjet import salsa
from candidates.graphjet.edges import FAVORITE
from candidates.graphjet.related import draw_keys
from candidates.graphjet.store import BipartiteStore
from funnel.core import rng
from funnel.core.arrays import Array, Doubles, Floats, Ints, Longs
from funnel.core.errors import ConfigError, ContractError

USERS, TWEETS, EDGES = 12, 20, 90
WALKS = 40_000


def graph(*, per_segment: int = 25, both_sides: bool = True) -> tuple[BipartiteStore, Array]:
    """(store, counts [U, T]): a multigraph; user 11 and tweet 19 have no edges."""
    draw = rng.stream(3, "salsa")
    user, tweet = draw.integers(0, USERS - 1, EDGES), draw.integers(0, TWEETS - 1, EDGES)
    store = BipartiteStore(users=USERS, tweets=TWEETS, edges_per_segment=per_segment, both_sides=both_sides)
    store.ingest(user, tweet, FAVORITE, np.linspace(0.0, 10.0, EDGES))
    counts = np.zeros((USERS, TWEETS))
    np.add.at(counts, (user, tweet), 1)
    return store, counts


def exact(counts: Array, start: Doubles, query: int, length: int, reset: float) -> Doubles:
    """The share of visits of each tweet, by the dense chain: x is the mass at users."""
    to_tweet = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    to_user = counts.T / np.maximum(counts.T.sum(1, keepdims=True), 1)
    x, visits = start / start.sum(), np.zeros(counts.shape[1])
    for _ in range((length + 1) // 2):
        tweets, waiting = (1 - reset) * (x @ to_tweet), reset * x.sum()
        visits += tweets
        x = tweets @ to_user
        if query >= 0:
            x[query] += waiting
    return np.asarray(visits / visits.sum())


def seeds_of(*pairs: tuple[int, float]) -> tuple[Longs, Ints, Floats]:
    return (
        np.array([0, len(pairs)]), np.array([user for user, _ in pairs], np.int32),
        np.array([weight for _, weight in pairs], np.float32),
    )  # fmt: skip


def shares(answer: tuple[Longs, Ints, Floats]) -> Doubles:
    out = np.zeros(TWEETS)
    out[answer[1]] = answer[2]
    assert np.unique(answer[1]).size == answer[1].size
    return out


def keys(count: int = 1) -> Array:
    return draw_keys(0, "test", np.arange(count), np.zeros(count))


@pytest.mark.parametrize("per_segment", [25, 90, 200])  # four segments, one sealed, one open
@pytest.mark.parametrize(("length", "reset"), [(1, 0.3), (3, 0.3), (3, 0.0), (7, 0.5)])
def test_walks_visit_tweets_as_often_as_the_exact_chain(per_segment: int, length: int, reset: float) -> None:
    store, counts = graph(per_segment=per_segment)
    query, pairs = 2, ((1, 1.0), (5, 2.5))
    # Weights 1 and 2.5, and of the query node 3.5 · 0.9 / 0.1 = 31.5.
    start = np.zeros(USERS)
    start[[1, 5, query]] = 1.0, 2.5, 31.5
    found = shares(
        salsa.walk(store.read(11.0), np.array([query], np.int32), seeds_of(*pairs), keys(),
                   walks=WALKS, length=length, reset=reset)
    )  # fmt: skip
    # The standard error of a share s of about 0.5 · 40,000 visits or more is √(s / 20,000) <= 0.0036 for s <= 0.25;
    # visits of one walk depend on each other, at most four times over: 0.0072, and three of those are 0.02.
    np.testing.assert_allclose(found, exact(counts, start, query, length, reset), atol=0.02)
    assert found.sum() == pytest.approx(1.0, abs=1e-5)


def test_more_walks_come_closer_to_the_exact_chain() -> None:
    store, counts = graph()
    start = np.zeros(USERS)
    start[[1, 2]] = 1.0, 9.0
    wanted = exact(counts, start, 2, 3, 0.3)
    errors = [
        np.abs(
            shares(salsa.walk(store.read(11.0), np.array([2], np.int32), seeds_of((1, 1.0)), keys(), walks=walks))
            - wanted
        ).sum()
        for walks in (100, 100_000)
    ]
    assert errors[1] < errors[0] / 5  # √1,000 = 32 times the walks' precision, with a wide margin


@pytest.mark.parametrize("length", [1, 3, 5])
def test_the_subgraph_version_is_exact_when_it_takes_every_edge(length: int) -> None:
    # All users with edges are seeds and bring all of their edges, so that the subgraph is the graph. Starts are whole
    # walks: the same weights as the chain's where walks divide evenly: 11 seeds of equal weight.
    store, counts = graph()
    everybody = tuple((user, 1.0) for user in range(USERS - 1))
    start = np.append(np.ones(USERS - 1), 0.0)
    nobody = np.array([-1], np.int32)
    for both_sides in (True, False):
        store = graph(both_sides=both_sides)[0]
        found = salsa.on_subgraph(store.read(11.0), nobody, seeds_of(*everybody), keys(), walks=1100, length=length)
        np.testing.assert_allclose(shares(found), exact(counts, start, -1, length, 0.3), rtol=1e-5, atol=1e-7)


def test_the_subgraph_version_returns_to_the_query_node() -> None:
    store, counts = graph()
    others = tuple((user, 1.0) for user in range(USERS - 1) if user != 2)
    # Ten seeds of weight 1 and a query node of 10 · 0.5 / 0.5 = 10: 1,000 of 20,000 walks each, and 10,000.
    start = np.array([1.0] * USERS)
    start[[2, USERS - 1]] = 10.0, 0.0
    found = salsa.on_subgraph(
        store.read(11.0), np.array([2], np.int32), seeds_of(*others), keys(), walks=20_000, length=5, query_share=0.5
    )
    np.testing.assert_allclose(shares(found), exact(counts, start, 2, 5, 0.3), rtol=1e-5, atol=1e-7)


def test_walks_depend_on_their_key_and_on_nothing_else() -> None:
    store, _ = graph()
    query, three = np.array([2, 3, 4], np.int32), keys(3)
    nobody = (np.zeros(4, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    alone = (np.zeros(2, np.int64), nobody[1], nobody[2])
    reading = store.read([11.0, 11.0, 11.0])
    for visit in (salsa.walk, salsa.on_subgraph):
        together = visit(reading, query, nobody, three, walks=50)
        for r in range(3):
            single = visit(store.read(11.0), query[r : r + 1], alone, three[r : r + 1], walks=50)
            rows = together[0] == r
            assert sorted(zip(*(column[rows].tolist() for column in together[1:]), strict=True)) == sorted(
                zip(*(column.tolist() for column in single[1:]), strict=True)
            )


@pytest.mark.parametrize("per_segment", [1, 7, 30, 90])  # whole segments; 7 leaves some edges in the open one
def test_walks_are_the_same_however_the_edges_are_cut_into_segments(per_segment: int) -> None:
    seeds = (np.array([0, 2, 3]), np.array([1, 5, 8], np.int32), np.array([1, 2, 1], np.float32))
    asked = np.array([2, 11], np.int32), seeds, keys(2)
    one = salsa.walk(graph(per_segment=1000)[0].read([11.0, 11.0]), *asked, walks=300, length=7)
    other = salsa.walk(graph(per_segment=per_segment)[0].read([11.0, 11.0]), *asked, walks=300, length=7)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert set(one[0].tolist()) == {0, 1}


def test_walks_see_only_edges_before_their_moment() -> None:
    store, _ = graph()
    found = salsa.walk(store.read(6.0), np.array([2], np.int32), seeds_of((1, 1.0)), keys(), length=5)
    # Edge i is made at 10 i / 89 h: the first 54 are before 6 h.
    early = {tweet for _, tweet, _, time in store.edges() if time < 6.0}
    assert set(found[1].tolist()) <= early
    assert found[1].size > 3


@pytest.mark.parametrize("visit", [salsa.walk, salsa.on_subgraph])
def test_who_has_no_edges_and_no_circle_gets_nothing(visit: object) -> None:
    store, _ = graph()
    empty = seeds_of()
    for query in (USERS - 1, -1):
        found = visit(store.read(11.0), np.array([query], np.int32), empty, keys())  # type: ignore[operator]
        assert found[1].size == 0
    lonely = visit(store.read(11.0), np.array([USERS - 1], np.int32), seeds_of((USERS - 1, 1.0)), keys())  # type: ignore[operator]
    assert lonely[1].size == 0
    own = visit(store.read(11.0), np.array([2], np.int32), empty, keys())  # type: ignore[operator]
    assert own[1].size > 0  # own engagements are circle enough


@pytest.mark.parametrize("wrong", [{"length": 2}, {"walks": 0}, {"reset": 1.0}, {"query_share": 1.0}])
def test_impossible_walks_are_refused(wrong: dict[str, int]) -> None:
    store, _ = graph()
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        salsa.walk(store.read(11.0), np.array([2], np.int32), seeds_of(), keys(), **wrong)  # type: ignore[arg-type]


def test_walks_that_come_back_want_a_store_with_both_sides() -> None:
    store, _ = graph(both_sides=False)
    with pytest.raises(ContractError, match="both sides"):
        salsa.walk(store.read(11.0), np.array([2], np.int32), seeds_of(), keys(), length=3)
