"""How well TwHIN finds held-out edges, beside popularity, sparse SVD and ALS; how fast it trains and its index answers.

    python -m bench.twhin [--world small] [--part follows favourites training ann] [--quick] [--json]

follows: 5 % of the follow edges are held out by lot; each is ranked among all accounts that the follower neither
follows nor is. `auc_uniform` sets it against an account by lot, `auc_degree` against one drawn as often as it is
followed, where popularity is worth nothing. SVD and ALS (Hu, Koren & Volinsky, ICDM 2008; confidence 1 + 40) have as
many dimensions and see the same edges.
favourites: out-of-network tweets that were favourited within 4 h of some moments after the end of training, each ranked
among all tweets that the source could give; their vectors are made at that moment, no vector was trained for them.
training: edges a processor second, and a second, at d = 64, both kinds of negatives.
ann: recall@100 against the exact answer and queries a processor second on one thread, one query a search: 1,000,000
vectors of 128 dimensions around 2,000 random unit vectors (centre + 0.1 · N(0, 1) in each dimension, then length 1;
centres by a Zipf law of exponent 0.7), queries made likewise.
Intervals are 95 %, by a Poisson bootstrap over viewers.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from time import perf_counter, process_time

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from bench.ceilings import machine
from candidates.retrieval import showable, tweet_window
from candidates.twhin import TwHIN
from candidates.twhin.index import IndexKind, Tuning, built, search_parameters
from candidates.twhin.job import follow_edges
from candidates.twhin.training import Recipe, Relations, train
from candidates.twhin_ann import TwHINANN
from funnel.core.actions import ACTION_CODE
from funnel.core.arrays import Array, Bools, Doubles, Floats, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.errors import FunnelWarning
from funnel.core.progress import SILENT
from funnel.core.rng import stream
from funnel.report import TerminalProgress, console, rows_table
from funnel.world import World

DIMENSION, RESAMPLES = 32, 200
PARTS = ("follows", "favourites", "training", "ann")
Row = dict[str, object]
Scores = Callable[[Longs], Array]  # rows of held-out edges -> [b, candidates]


def follows(world: World, *, held: int, epochs: int) -> list[Row]:
    """Held-out follows, by model."""
    view = world.view(world.meta.train_until_h)
    users, edges, draw = view.user_count, follow_edges(view), stream(0, "bench held-out follows")
    out = draw.random(edges.left.size) < 0.05
    left, right = edges.left[~out], edges.right[~out]
    seen = Relations(left, right, np.array([0, left.size], np.int64))
    test = draw.permutation(np.flatnonzero(out))[:held]
    who, whom = edges.left[test], edges.right[test]
    uniform, degree = (
        draw.integers(0, users, test.size).astype(np.int32),
        right[draw.integers(0, right.size, test.size)],
    )
    matrix = csr_matrix((np.ones(left.size, np.float32), (left, right)), shape=(users, users))
    popular = np.bincount(right, minlength=users).astype(np.float32)
    models: dict[str, Scores] = {"popularity": lambda rows: np.tile(popular, (rows.size, 1))}
    u, vt = svd(matrix)
    models["svd"] = lambda rows: u[who[rows]] @ vt
    x, y = als(matrix, DIMENSION)
    models["als"] = lambda rows: x[who[rows]] @ y.T
    for name, job in (
        ("twhin", TwHIN(dimension=DIMENSION, epochs=epochs)),
        ("twhin, in-batch negatives only", TwHIN(dimension=DIMENSION, epochs=epochs, uniform=0)),
        ("twhin, as released", TwHIN(dimension=DIMENSION, epochs=epochs, as_released=True)),
    ):
        user, author, user_length, author_length, prior = job.follows(seen, users, seed=0)
        models[f"{name}: cosine"] = _cosines(user, author, who)
        models[f"{name}: dot + prior"] = _dots(user * user_length[:, None], author * author_length[:, None], prior, who)
    found = []
    for name, scores in models.items():
        rank, above_uniform, above_degree = _ranked(scores, matrix, who, whom, uniform, degree)
        found.append(_summary(name, rank, who, auc_uniform=above_uniform, auc_degree=above_degree))
    return found


def _cosines(user: Array, author: Array, who: Ints) -> Scores:
    return lambda rows: np.asarray(user[who[rows]] @ author.T)


def _dots(user: Array, author: Array, prior: Floats, who: Ints) -> Scores:
    return lambda rows: np.asarray(user[who[rows]] @ author.T + prior)


def _ranked(
    scores: Scores, known: csr_matrix, who: Ints, whom: Ints, uniform: Ints, degree: Ints
) -> tuple[Doubles, Doubles, Doubles]:
    """(rank from 1, above the uniform stranger, above the popular one: 0, ½ or 1), ties in the middle."""
    ranks, first, second = (np.empty(who.size) for _ in range(3))
    for begin in range(0, who.size, 500):
        rows = np.arange(begin, min(begin + 500, who.size))
        s = scores(rows).astype(np.float64)
        at = np.arange(rows.size)
        own = s[at, whom[rows]]
        for out, other in ((first, uniform), (second, degree)):
            gap = own - s[at, other[rows]]
            out[rows] = (gap > 0) + 0.5 * (gap == 0)
        s[known[who[rows]].nonzero()] = -np.inf
        s[at, who[rows]] = -np.inf
        ranks[rows] = 1 + (s > own[:, None]).sum(1) + 0.5 * ((s == own[:, None]).sum(1) - 1)
    return ranks, first, second


def _summary(name: str, rank: Doubles, viewer: Ints, **more: Doubles) -> Row:
    """Means with intervals of MRR and hits, and of what else is given."""
    counts = stream(0, "bench bootstrap").poisson(1.0, (RESAMPLES, int(viewer.max()) + 1))[:, viewer]
    measures: dict[str, Doubles] = {"mrr": 1 / rank, **more}
    measures |= {f"hits_{k}": (rank <= k).astype(np.float64) for k in (10, 100)}
    row: Row = {"model": name, "edges": int(rank.size)}
    for what, values in measures.items():
        drawn = counts @ values / counts.sum(axis=1)
        row[what] = float(np.mean(values))
        row[f"{what}_low"], row[f"{what}_high"] = (float(q) for q in np.quantile(drawn, (0.025, 0.975)))
    return row


def svd(matrix: csr_matrix) -> tuple[Array, Array]:
    """(row vectors times singular values, column vectors, one a column)."""
    found: tuple[Array, Array, Array] = svds(matrix, DIMENSION, random_state=0)
    u, values, vt = found
    return u * values, vt


def als(
    matrix: csr_matrix, d: int, *, alpha: float = 40.0, penalty: float = 10.0, rounds: int = 6
) -> tuple[Array, Array]:
    """Implicit-feedback alternating least squares: (row vectors, column vectors)."""
    draw = stream(0, "bench als")
    y = draw.standard_normal((matrix.shape[1], d)) * 0.1
    x = np.zeros((matrix.shape[0], d))
    back = matrix.T.tocsr()
    for _ in range(rounds):
        x = _solved(matrix, y, alpha, penalty)
        y = _solved(back, x, alpha, penalty)
    return x, y


def _solved(matrix: csr_matrix, y: Array, alpha: float, penalty: float) -> Array:
    base = y.T @ y + penalty * np.eye(y.shape[1])
    out = np.zeros((matrix.shape[0], y.shape[1]))
    for row in range(matrix.shape[0]):
        some = y[matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]]
        if len(some):
            out[row] = np.linalg.solve(base + alpha * some.T @ some, (1 + alpha) * some.sum(axis=0))
    return out


def favourites(world: World, *, moments: int) -> list[Row]:
    """Future favourites of out-of-network tweets, by model."""
    start, end = world.meta.train_until_h, world.meta.end_h
    past, whole = world.view(start), world.view()
    log, done = past.engagements, whole.engagements
    liked = np.flatnonzero(log["action"] == ACTION_CODE["favorite"])
    authors = past.tweets["author"][log["tweet"][liked]]
    users = past.user_count
    matrix = csr_matrix((np.ones(liked.size, np.float32), (log["viewer"][liked], authors)), shape=(users, users))
    matrix.data[:] = 1.0
    u, vt = svd(matrix)
    x, y = als(matrix, DIMENSION)
    made = {"twhin": TwHIN().run(past, seed=0), "twhin, as released": TwHIN(as_released=True).run(past, seed=0)}
    ranks: dict[str, list[Doubles]] = {}
    viewers = []
    for now_h in np.linspace(start + 4, end - 4, moments):
        view = world.view(now_h)
        (first,), (stop,) = tweet_window(view, np.array([now_h]), 24.0)
        may = np.flatnonzero(showable(view, int(first), int(stop)))
        author = view.tweets["author"][first + may]
        begin, until = np.searchsorted(done["time_h"], [now_h, now_h + 4.0])
        new = begin + np.flatnonzero(done["action"][begin:until] == ACTION_CODE["favorite"])
        place = np.searchsorted(may + first, done["tweet"][new])
        known = np.append(may + first, -1)[place] == done["tweet"][new]
        viewer, place = done["viewer"][new][known], place[known]
        asked, row = np.unique(viewer, return_inverse=True)
        hidden = _network(view.following, asked, author, now_h)
        outside = ~hidden[row, place]
        viewer, place, row = viewer[outside], place[outside], row[outside]
        viewers.append(viewer)
        likes = view.events("favorite", by="tweet").count(may + first, np.full(may.size, now_h)).astype(np.float64)
        scores = {
            "popularity": np.tile(likes, (asked.size, 1)),
            "svd of favourites by author": u[asked] @ vt[:, author],
            "als of favourites by author": x[asked] @ y[author].T,
        }
        for name, assets in made.items():
            scores[name] = _source_scores(view.with_assets(assets), asked, now_h, int(first), may)
        for name, score in scores.items():
            shown = np.where(hidden, -np.inf, score)[row]
            own = shown[np.arange(row.size), place][:, None]
            rank = 1 + (shown > own).sum(1) + 0.5 * ((shown == own).sum(1) - 1)
            ranks.setdefault(name, []).append(rank)
    who = np.concatenate(viewers)
    rows = []
    for name, parts in ranks.items():
        rank = np.concatenate(parts)
        rows.append(_summary(name, rank, who, hits_200=(rank <= 200).astype(np.float64)))
    return rows


def _network(graph, asked: Ints, author: Ints, now_h: float) -> Bools:  # type: ignore[no-untyped-def]
    """bool [r, m]: tweets by the viewer or whom they follow."""
    hidden = np.zeros((asked.size, author.size), np.bool_)
    for r, viewer in enumerate(asked):
        edges = slice(int(graph.offsets[viewer]), int(graph.offsets[viewer + 1]))
        inside = np.append(graph.targets[edges][graph.time_h[edges] < now_h], viewer)
        hidden[r] = np.isin(author, inside)
    return hidden


def _source_scores(view, asked: Ints, now_h: float, first: int, may: Longs) -> Array:  # type: ignore[no-untyped-def]
    """float64 [r, m]: what the source itself answers, −2 for what it leaves out."""
    batch = TwHINANN(max_results=2000).retrieve(Requests.of(asked, now_h, view))
    out = np.full((asked.size, may.size), -2.0)
    out[batch.request, np.searchsorted(may + first, batch["tweet"])] = batch["source_score"]
    return out


def training(*, examples: int) -> Row:
    """Edges a processor second, and whether one thread and two give the same bytes."""
    draw = stream(0, "bench training")
    users, count = 100_000, 1_000_000
    left, right = ((users * draw.random(count) ** 2).astype(np.int32) for _ in range(2))
    edges = Relations(left, right, np.array([0, count // 2, count], np.int64))
    row: Row = {"dimension": 64, "edges": examples}
    made = []
    for threads in (1, 2):
        recipe = Recipe(64, examples, TwHIN().negatives, TwHIN().uniform, 0.1, threads=threads)
        train(edges, users, recipe._replace(examples=4096), seed=0, purpose="bench", progress=SILENT)  # compiles
        began, clock = process_time(), perf_counter()
        made.append(train(edges, users, recipe, seed=0, purpose="bench", progress=SILENT).entity)
        row[f"edges_per_processor_s_{threads}_threads"] = examples / (process_time() - began)
        row[f"edges_per_s_{threads}_threads"] = examples / (perf_counter() - clock)  # of the clock: wants free cores
    row["same_bytes"] = bool((made[0] == made[1]).all())
    return row


def ann(*, count: int, queries: int) -> list[Row]:
    """Recall and rate of each kind of index."""
    import faiss

    d, draw = 128, stream(0, "bench ann")
    centres = draw.standard_normal((2000, d), np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    law = np.arange(1, 2001) ** -0.7
    which = draw.choice(2000, count + queries, p=law / law.sum())
    vectors = centres[which] + np.float32(0.1) * draw.standard_normal((count + queries, d), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    base, asked = np.ascontiguousarray(vectors[:count]), np.ascontiguousarray(vectors[count:])
    faiss.omp_set_num_threads(1)
    rows: list[Row] = []
    plans: list[tuple[IndexKind, tuple[int, ...]]] = [("exact", (0,)), ("ivf", (8, 16, 20, 24, 32))]
    truth = None
    for kind, settings in plans:
        began = process_time()
        index = built(base, kind)
        build = process_time() - began
        for setting in settings:
            parameters = search_parameters(index, None, Tuning(max(setting, 1), max(setting, 1)))
            some = asked if kind != "exact" else asked[:500]
            began = process_time()
            found = np.concatenate([index.search(query[None], 100, params=parameters)[1] for query in some])
            rate = len(some) / (process_time() - began)
            truth = found if truth is None else truth
            hits = [np.isin(a, b).mean() for a, b in zip(truth, found, strict=False)]
            rows.append({
                "index": kind, "probes": setting, "vectors": count, "recall_100": float(np.mean(hits)),
                "queries_per_processor_s": rate, "build_processor_s": build,
            })  # fmt: skip
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="TwHIN on held-out edges, and its speed.")
    parser.add_argument("--world", default="small")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer edges, epochs, moments and vectors")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", FunnelWarning)
    quick = asked.quick
    found: dict[str, object] = {"machine": machine(), "world": asked.world}
    if {"follows", "favourites"} & set(asked.part):
        world = World.load(asked.world, progress=TerminalProgress())
    if "follows" in asked.part:
        found["follows"] = follows(world, held=500 if quick else 3000, epochs=1 if quick else TwHIN().epochs)
    if "favourites" in asked.part:
        found["favourites"] = favourites(world, moments=2 if quick else 5)
    if "training" in asked.part:
        found["training"] = [training(examples=100_000 if quick else 500_000)]
    if "ann" in asked.part:
        found["ann"] = ann(count=100_000 if quick else 1_000_000, queries=500 if quick else 2000)
    if asked.json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for part in asked.part:
        rows = found[part]
        assert isinstance(rows, list)
        console().print(rows_table(rows, title=part.capitalize()))


if __name__ == "__main__":
    main()
