"""What answers with accounts, or takes items for accounts: GraphJet over a graph, FRS, TwHIN's authors and SimClusters.

Each is a function from a task to its answer, as in `bench.real_models`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np

from bench.real_models import (
    ROWS,
    Answer,
    K,
    Models,
    best,
    clusters,
    configured,
    listed,
    twhin,
    with_even_lists,
)
from bench.real_tasks import Task
from candidates.follow_recommendations.sources import accounts_of
from candidates.frs import FRS
from candidates.graphjet import edges, salsa
from candidates.graphjet.counting import second_degree
from candidates.graphjet.related import draw_keys
from candidates.graphjet.store import BipartiteStore
from candidates.simclusters import SimClusters
from funnel.core.arrays import Array, Floats, Ints
from funnel.core.batch import Requests
from funnel.core.world import Columns, WorldData, WorldMeta
from funnel.world import World
from synthetic.datasets.blank import BEFORE_EPOCH_H, accounts

# Sources of accounts that a graph without times can carry; with times or engagements there are two more.
OF_GRAPHS = ("salsa_expansion", "two_hop", "triangular_loops")
SOURCE_WEIGHTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("all sources", ("recent_engagement", *OF_GRAPHS, "popular_in_community", "followed_lately")),
    ("sources of the graph", OF_GRAPHS),
    ("two hops and loops", OF_GRAPHS[1:]),
)


@lru_cache(maxsize=2)
def _account_store(task: Task) -> BipartiteStore:
    graph = task.graph
    assert graph is not None
    users = task.view.user_count
    source_of = np.repeat(np.arange(users, dtype=np.int32), graph.degree())
    store = BipartiteStore(users=users, tweets=users, edges_per_segment=1 << 22)
    store.ingest(source_of, graph.targets, edges.FAVORITE, np.zeros(source_of.size))
    store.seal()
    return store


def two_hop(task: Task, *, max_edges: int) -> Ints:
    """How many of those whom the viewer has an edge to have one to the account: GraphJet's second degree."""
    graph = task.graph
    assert graph is not None
    users, count = task.view.user_count, task.viewer.size
    degree = graph.degree()[task.viewer]
    offsets = np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)
    seeds = np.concatenate([graph.neighbours(int(viewer)) for viewer in task.viewer]).astype(np.int32)
    accounts = (np.arange(users, dtype=np.int32), np.zeros(users, np.bool_))
    found = second_degree(
        _account_store(task).read(np.ones(count)), task.viewer, np.full(count, np.inf),
        (offsets, seeds, np.ones(seeds.size, np.float32)), accounts, (graph.offsets, graph.targets, graph.time_h),
        (np.zeros(count, np.int64), np.full(count, users, np.int64)),
        counted=edges.kinds_mask(("favorite",)), proofs=(edges.FAVORITE,), max_edges=max_edges, k=4 * K,
    )  # fmt: skip
    return listed(task, *found)


def account_walks(task: Task, *, length: int, walks: int, reset: float) -> Ints:
    """SALSA from the viewer over the edges: viewer → account → whoever shares it → account …"""
    count = task.viewer.size
    nobody = (np.zeros(count + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    keys = draw_keys(0, "salsa", task.viewer, np.zeros(count))
    reading = _account_store(task).read(np.ones(count))
    return listed(task, *salsa.walk(reading, task.viewer, nobody, keys, walks=walks, length=length, reset=reset))


def twhin_of_follows(task: Task, *, prior: bool, dimension: int, epochs: int) -> Ints:
    """TwHIN's vectors of follows: ⟨user, author⟩ with lengths and prior, or their cosine."""
    made = twhin(task, dimension, epochs)
    user, author = made["twhin.user_follow"], made["twhin.author_follow"]
    if not prior:
        return best(task, lambda rows: user[task.viewer[rows]] @ author.T)
    author = author * made["twhin.author_follow_length"][:, None]
    user = user * made["twhin.user_follow_length"][:, None]
    bias = made["twhin.author_follow_prior"]
    return best(task, lambda rows: user[task.viewer[rows]] @ author.T + bias)


def twhin_of_authors(task: Task, *, prior: float, dimension: int = 32, epochs: int = 5) -> Ints:
    """TwHIN's vectors of engagements: cosine of user and author + prior · ln(1 + those who engaged with the author)."""
    made = twhin(task, dimension, epochs)
    user, author = made["twhin.user_engagement"], made["twhin.author_engagement"]
    count = np.log1p(np.asarray((task.known > 0).sum(axis=0)).ravel())
    return best(task, lambda rows: user[task.viewer[rows]] @ author.T + prior * count)


def cluster_accounts(task: Task, *, made: Columns, first: int = 0, interests: str = "", popular: bool) -> Ints:
    """SimClusters: ⟨the viewer's InterestedIn, the producer's embedding⟩; popular: times the root of its audience.

    first: the account that stands for item 0; interests: "" of follows, or "favorite_".
    """
    prefix = f"simclusters.{interests}"
    if not made["simclusters.producer_clusters"].size:
        return np.full((task.viewer.size, K), -1, np.int32)
    offered, row = made["simclusters.producer_clusters"], made["simclusters.producer_row"][first + task.item]
    count = 1 + max(int(made[f"{prefix}interested_in"].max()), int(offered.max()))
    wanted = _dense(made[f"{prefix}interested_in"][task.viewer], made[f"{prefix}interest"][task.viewer], count)
    weights = _dense(offered, made["simclusters.producer_weights"], count)[row]
    scale = np.sqrt(np.asarray((task.known > 0).sum(axis=0)).ravel()[task.item]) if popular else np.ones(row.size)
    by_item = np.where((row >= 0)[:, None], weights, 0) * scale[:, None]
    return best(task, lambda rows: wanted[rows] @ by_item.T, floor=0.0)


def clusters_of_accounts(task: Task, *, popular: bool, favourites: bool) -> Ints:
    """The communities of the follow graph; favourites: interests and audiences by engagements, else by follows."""
    made = clusters(task) if favourites else follow_clusters(task)
    return cluster_accounts(task, made=made, interests="favorite_" if favourites else "", popular=popular)


def clusters_of_items(task: Task, *, popular: bool, size: float) -> Ints:
    """The same job on the graph "user → item", items in the place of accounts, for data without follows."""
    return cluster_accounts(task, made=item_clusters(task, size), first=task.known.shape[0], popular=popular)


@lru_cache(maxsize=2)
def follow_clusters(task: Task) -> Columns:
    """The job on follows alone."""
    return configured(SimClusters, producers_by="follows", min_proofs=1, min_followers=3).run(task.view, seed=0)


@lru_cache(maxsize=8)
def item_clusters(task: Task, size: float) -> Columns:
    """The job on users and items as accounts, each user following what they engaged with; size: items a cluster."""
    users, items = task.known.shape
    edge = task.known.tocoo()
    order = np.lexsort((edge.col, edge.row))
    follows = {
        "follower": edge.row[order].astype(np.int32),
        "followee": (users + edge.col[order]).astype(np.int32),
        "time_h": np.full(edge.row.size, BEFORE_EPOCH_H),
    }
    meta = WorldMeta("items", end_h=0.0, train_until_h=0.0, viewer_count=users)
    names = accounts(f"a{number}" for number in range(users + items))
    world = World.of(WorldData(meta, {"users": names, "follows": follows}))
    job = configured(
        SimClusters, producers_by="follows", min_proofs=1, min_followers=3, min_audience=3, cluster_size=size
    )
    return job.run(world.view(), seed=0)


def recommended(task: Task, *, weights: Sequence[str]) -> Ints:
    """FRS: the weighted ranker over these sources of accounts."""
    stage = configured(FRS, weights=dict.fromkeys(weights, 1.0), max_accounts=2 * K)
    view = task.view.with_assets(with_even_lists(task))
    out = np.full((task.viewer.size, K), -1, np.int32)
    for begin in range(0, task.viewer.size, ROWS):
        viewer = task.viewer[begin : begin + ROWS]
        offsets, account, _ = stage.accounts(Requests.of(viewer, view.now_h, view))
        row = np.repeat(np.arange(viewer.size), np.diff(offsets))
        part = replace(task, viewer=viewer, hidden=task.hidden[begin : begin + ROWS])
        out[begin : begin + viewer.size] = listed(part, row, account, -np.arange(account.size, dtype=np.float64))
    return out


def recommended_by(task: Task, *, name: str) -> Ints:
    """One of FRS's sources of accounts by itself."""
    view = task.view.with_assets(with_even_lists(task))
    out = np.full((task.viewer.size, K), -1, np.int32)
    for begin in range(0, task.viewer.size, ROWS):
        viewer = task.viewer[begin : begin + ROWS]
        found = accounts_of(Requests.of(viewer, view.now_h, view), name, limit=4 * K)
        part = replace(task, viewer=viewer, hidden=task.hidden[begin : begin + ROWS])
        out[begin : begin + viewer.size] = listed(part, found.request, found.account, found.score)
    return out


def _dense(clusters: Array, weights: Array, count: int) -> Floats:
    """float32 [m, C] of padded lists."""
    out = np.zeros((clusters.shape[0], max(count, 1)), np.float32)
    row, column = np.nonzero(clusters >= 0)
    out[row, clusters[row, column]] = weights[row, column]
    return out


def clusters_without_follows() -> Models:
    """SimClusters for data without follows."""
    return {
        "SimClusters of items": [
            (f"{size:g} items a cluster, {'times √audience' if popular else 'cosine'}",
             partial(clusters_of_items, popular=popular, size=size))
            for size in (20.0, 60.0) for popular in (False, True)
        ]
    }  # fmt: skip


def account_models(*, follows: bool) -> Models:
    """What can answer with accounts; follows: the edges are follows, else engagements."""
    made: dict[str, Sequence[tuple[str, Answer]]] = {
        "two-hop count": [(f"newest {n} edges", partial(two_hop, max_edges=n)) for n in (500, 5000)],
        "SALSA": [
            (f"length {length}, reset {reset:g}", partial(account_walks, length=length, walks=10_000, reset=reset))
            for length in (3, 5) for reset in (0.0, 0.3)
        ],
        "SimClusters": [
            ("times √audience" if popular else "cosine",
             partial(clusters_of_accounts, favourites=not follows, popular=popular))
            for popular in (False, True)
        ],
        "FRS": [(name, partial(recommended, weights=weights)) for name, weights in SOURCE_WEIGHTS],
        **{f"FRS: {name.replace('_', ' ')}": [("", partial(recommended_by, name=name))] for name in OF_GRAPHS},
    }  # fmt: skip
    if follows:
        made["TwHIN"] = [
            (f"{epochs} epochs, {'dot + prior' if prior else 'cosine'}",
             partial(twhin_of_follows, prior=prior, dimension=32, epochs=epochs))
            for epochs in (10,) for prior in (False, True)
        ]  # fmt: skip
    else:
        made["TwHIN"] = [(f"prior {prior:g}", partial(twhin_of_authors, prior=prior)) for prior in (0.0, 0.1, 0.3)]
    return made
