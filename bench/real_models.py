"""What answers a task of `bench.real_tasks`: the sources of `candidates`, and popularity, ALS and item-kNN beside them.

A model is a list of settings; each is a function from a task to its answer, int32 [R, K], best first, −1 where it has
nothing to say. Which of the settings is used is decided on an earlier moment than the one that counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TypeAlias, TypeVar

import numpy as np
from scipy.sparse import csr_matrix

from bench.real_tasks import Task
from candidates.cr_mixer import CRMixer
from candidates.follow_recommendations.sources import ASSETS as SOURCES_ASSETS
from candidates.frs import FRS
from candidates.graphjet import salsa
from candidates.graphjet.related import Normaliser, draw_keys, intersection
from candidates.graphjet.world import world_store
from candidates.popular import Popular
from candidates.salsa import Salsa
from candidates.simclusters import SimClusters
from candidates.simclusters.ann import Score
from candidates.simclusters.tweets import Interests
from candidates.simclusters_ann import SimClustersANN
from candidates.twhin import TwHIN
from candidates.twhin_ann import TwHINANN
from candidates.uteg import UTEG
from funnel.core.arrays import Array, Ints, Longs
from funnel.core.batch import Requests
from funnel.core.stage import Source
from funnel.core.world import Columns
from funnel.features.affinity import COEFFICIENTS, PAIR_FEATURES

K = 200
ROWS = 200  # scored at a time
CLUSTER_SCORES: tuple[Score, ...] = ("cosine", "dot")
NORMALISERS: tuple[Normaliser, ...] = ("cosine", "inverse_degree")
MOMENTS = 16  # whose assets are kept, since several models read them
ALL_TIME_H = 8760.0  # the longest window that sources know
SIGNALS = ("favorite", "retweet", "reply")
MIXER_SIGNALS = ("tweet_favorite", "retweet", "reply")
FOLLOWED = SOURCES_ASSETS["two_hop"]
MOST_SIGNALS = 50  # last tweets of a viewer that similar ones are looked for
Answer: TypeAlias = Callable[[Task], Ints]
T = TypeVar("T")
Models: TypeAlias = Mapping[str, Sequence[tuple[str, Answer]]]


def best(task: Task, scores: Callable[[Longs], Array], *, k: int = K, floor: float = -np.inf) -> Ints:
    """The k items with the highest scores that may be answered, ties by the smaller id; −1 for none above `floor`.

    scores: rows of viewers int64 [b] -> [b, m], a column for each of `task.item`.
    """
    out = np.full((task.viewer.size, k), -1, np.int32)
    column = np.full(task.hidden.shape[1], -1, np.int64)
    column[task.item] = np.arange(task.item.size)
    for begin in range(0, task.viewer.size, ROWS):
        rows = np.arange(begin, min(begin + ROWS, task.viewer.size))
        given = scores(rows)
        found = np.array(given, np.result_type(given, np.float32))
        hidden = task.hidden[rows]
        row, place = np.repeat(np.arange(rows.size), np.diff(hidden.indptr)), column[hidden.indices]
        found[row[place >= 0], place[place >= 0]] = -np.inf
        width = min(k, found.shape[1])
        part = np.argpartition(-found, width - 1, axis=1)[:, :width]
        part.sort(axis=1)
        value = np.take_along_axis(found, part, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        chosen, value = np.take_along_axis(part, order, axis=1), np.take_along_axis(value, order, axis=1)
        out[rows[0] : rows[-1] + 1, :width] = np.where(value > floor, task.item[chosen], -1)
    return out


def listed(task: Task, row: Array, item: Array, score: Array, *, k: int = K) -> Ints:
    """The same from (row of the viewer, item, score) [n], each pair once."""
    out = np.full((task.viewer.size, k), -1, np.int32)
    if not row.size:
        return out
    hidden = np.asarray(task.hidden[row, item]).ravel() > 0
    kept = np.flatnonzero(~hidden & np.isin(item, task.item))
    order = kept[np.lexsort((item[kept], -score[kept], row[kept]))]
    place = np.arange(order.size) - np.searchsorted(row[order], row[order])
    first = place < k
    out[row[order][first], place[first]] = item[order][first]
    return out


def filled(answer: Ints, reserve: Ints) -> Ints:
    """The answers, and where they end those of the reserve that are not there yet; both int32 [R, K]."""
    both = np.concatenate([answer, reserve], axis=1)
    row = np.repeat(np.arange(len(both)), both.shape[1])
    _, first = np.unique(row * (int(both.max(initial=-1)) + 2) + both.ravel() + 1, return_index=True)
    new = np.zeros(both.size, np.bool_)
    new[first] = True
    new &= both.ravel() >= 0
    order = np.argsort(~new.reshape(both.shape), axis=1, kind="stable")[:, : answer.shape[1]]
    taken = np.take_along_axis(new.reshape(both.shape), order, axis=1)
    return np.where(taken, np.take_along_axis(both, order, axis=1), -1).astype(np.int32)


@lru_cache(maxsize=4 * MOMENTS)
def younger(task: Task, window_h: float) -> Task:
    """The task with tweets of the last hours alone as answers; what is learnt from stays."""
    if np.isinf(window_h):
        return task
    young = task.view.tweets["time_h"][task.item] >= task.view.now_h - window_h
    return replace(task, item=task.item[young])


# Baselines.


def popularity(task: Task) -> Ints:
    """By how many users engaged with each item, at any time."""
    counts = np.asarray((task.known > 0).sum(axis=0)).ravel()[task.item]
    return best(task, lambda rows: np.tile(counts, (rows.size, 1)))


@lru_cache(maxsize=2)
def _als(task: Task, factors: int, alpha: float, penalty: float) -> tuple[Array, Array]:
    from implicit.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=factors, regularization=penalty, alpha=alpha, iterations=15, num_threads=1, random_state=0
    )
    model.fit(task.known, show_progress=False)
    return model.user_factors, model.item_factors


def als(task: Task, *, factors: int, alpha: float, penalty: float, window_h: float = np.inf) -> Ints:
    """Alternating least squares of `implicit` (Hu, Koren & Volinsky, ICDM 2008)."""
    (user, item), part = _als(task, factors, alpha, penalty), younger(task, window_h)
    return best(part, _popular_to_newcomers(part, lambda rows: user[task.viewer[rows]] @ item[part.item].T))


def item_knn(task: Task, *, neighbours: int, weighting: str, window_h: float = np.inf) -> Ints:
    """Item-kNN of `implicit`: cosine, BM25 or TF-IDF similarity of items by their users."""
    place, known, similar = _similar_items(task, neighbours, weighting)
    part = younger(task, window_h)
    column = np.searchsorted(task.item, part.item)

    def scores(rows: Longs) -> Array:
        out = np.zeros((rows.size, task.item.size), np.float32)
        out[:, place] = (known[task.viewer[rows]] @ similar).toarray()
        return out[:, column]

    return best(part, _popular_to_newcomers(part, scores), floor=0.0)


@lru_cache(maxsize=2)
def _similar_items(task: Task, neighbours: int, weighting: str) -> tuple[Longs, csr_matrix, csr_matrix]:
    """(places in `task.item` of those that somebody engaged with, their columns of `known`, their similarities)."""
    from implicit import nearest_neighbours

    kinds = {"cosine": "CosineRecommender", "bm25": "BM25Recommender", "tf-idf": "TFIDFRecommender"}
    model = getattr(nearest_neighbours, kinds[weighting])(K=neighbours, num_threads=1)
    place = np.flatnonzero(np.diff(task.known.tocsc().indptr)[task.item] > 0)  # an item of nobody is like none
    known = task.known[:, task.item[place]].tocsr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BM25's weighting makes another kind of sparse matrix, which it then converts
        model.fit(known, show_progress=False)
    return place, known, model.similarity.astype(np.float32)


def _popular_to_newcomers(task: Task, scores: Callable[[Longs], Array]) -> Callable[[Longs], Array]:
    """The scores, but popularity for viewers who have done nothing yet, about whom a baseline knows nothing."""
    counts = np.asarray((task.known > 0).sum(axis=0)).ravel()[task.item].astype(np.float64)
    new = np.diff(task.known.indptr)[task.viewer] == 0
    return lambda rows: np.where(new[rows][:, None], counts, scores(rows))


# Sources of tweets.


def source(task: Task, *, stage: Source, assets: Callable[[Task], Columns] | None = None, prior: float = 0.0) -> Ints:
    """What a source itself retrieves for the viewers at the task's moment.

    prior: what it retrieves is put in the order of its score + prior · ln(1 + users of the tweet).
    """
    view = task.view if assets is None else task.view.with_assets(assets(task))
    rows, items, scores = [], [], []
    for begin in range(0, task.viewer.size, ROWS):
        batch = stage.retrieve(Requests.of(task.viewer[begin : begin + ROWS], view.now_h, view))
        rows.append(batch.request + begin)
        items.append(batch["tweet"])
        scores.append(batch["source_score"])
    item, score = np.concatenate(items), np.concatenate(scores)
    if prior:
        score = score + prior * np.log1p(np.asarray((task.known > 0).sum(axis=0)).ravel())[item]
    return listed(task, np.concatenate(rows), item, score)


def even_weights(_: Task) -> Columns:
    """RealGraph without anything learnt: every followee weighs the same, for the data have no such log."""
    return {COEFFICIENTS: np.zeros(len(PAIR_FEATURES) + 1, np.float32)}


@lru_cache(maxsize=MOMENTS)
def with_even_lists(task: Task) -> Columns:
    """Communities, and RealGraph's lists without anything learnt: all followees, each with the same score."""
    graph = task.view.following
    lists = (graph.offsets, graph.targets, np.ones(graph.targets.size, np.float32))
    return {**clusters(task), **dict(zip(FOLLOWED, lists, strict=True))}


@lru_cache(maxsize=MOMENTS)
def twhin(task: Task, dimension: int = 32, epochs: int = 5) -> Columns:
    """The job's vectors, learnt from what was there at the task's moment."""
    return TwHIN(dimension=dimension, epochs=epochs).run(task.view, seed=0)


@lru_cache(maxsize=MOMENTS)
def clusters(task: Task, *, weight: str = "fav") -> Columns:
    """The job's communities and interests at the task's moment."""
    job = configured(SimClusters, signal=SIGNALS, weight=weight, min_proofs=1, min_followers=3)
    return job.run(task.view, seed=0)


def configured(kind: Callable[..., T], **settings: object) -> T:
    """A stage or job with some settings; the others are its defaults, which mypy does not see in `Field(…)`."""
    return kind(**settings)


def twhin_of_items(
    task: Task, *, prior: float, dimension: int = 32, epochs: int = 20, window_h: float = np.inf
) -> Ints:
    """Vectors that training itself gave to users and tweets: cosine + prior · ln(1 + users of the tweet)."""
    made, task = twhin(task, dimension, epochs), younger(task, window_h)
    place = np.searchsorted(made["twhin.tweet"], task.item)
    place = np.minimum(place, made["twhin.tweet"].size - 1)
    has = made["twhin.tweet"][place] == task.item
    vectors = np.where(has[:, None], made["twhin.tweet_engagement"][place], 0)
    count = np.log1p(np.asarray((task.known > 0).sum(axis=0)).ravel()[task.item])
    user = made["twhin.user_engagement"][task.viewer]
    return best(task, lambda rows: np.where(has, user[rows] @ vectors.T + prior * count, -10.0))


def walks(task: Task, *, length: int, walks: int, window_h: float, reset: float = 0.0) -> Ints:
    """GraphJet's SALSA from the viewer alone, over the world's store and edges of any age."""
    reading = world_store(task.view).read(np.full(task.viewer.size, task.view.now_h), window_h=np.inf)
    nobody = (np.zeros(task.viewer.size + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    keys = draw_keys(0, "salsa", task.viewer, np.full(task.viewer.size, task.view.now_h))
    return listed(
        younger(task, window_h),
        *salsa.walk(reading, task.viewer, nobody, keys, walks=walks, length=length, reset=reset),
    )


def similar_tweets(task: Task, *, signals: int, normaliser: Normaliser, window_h: float = np.inf) -> Ints:
    """GraphJet's similarity to each of the viewer's last tweets, summed: what CR-mixer makes of user signals."""
    row, tweet = _last_engaged(task, signals)
    size = int(task.view.tweets["author"].size)
    asked = csr_matrix((np.ones(row.size, np.float32), (row, tweet)), shape=(task.viewer.size, size))
    found = (asked @ _similarities(task, normaliser)).tocoo()
    return listed(younger(task, window_h), found.row, found.col, found.data)


@lru_cache(maxsize=2)
def _similarities(task: Task, normaliser: Normaliser) -> csr_matrix:
    """float32 [T, T]: the similarity of each tweet that a viewer of the task engaged with lately to all others."""
    view, size = task.view, int(task.view.tweets["author"].size)
    wanted = np.unique(_last_engaged(task, MOST_SIGNALS)[1])
    parts: list[tuple[Array, Array, Array]] = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))]
    for begin in range(0, wanted.size, ROWS):
        some = wanted[begin : begin + ROWS]
        window = (np.zeros(some.size, np.int64), np.full(some.size, size, np.int64))
        reading = world_store(view).read(np.full(some.size, view.now_h), window_h=np.inf)
        found = intersection(reading, some, window, normaliser=normaliser)
        parts.append((some[found.query], found.tweet, found.score))
    query, tweet, score = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return csr_matrix((score, (query, tweet)), shape=(size, size))


def _last_engaged(task: Task, most: int) -> tuple[Longs, Ints]:
    """(row of the viewer int64 [n], tweet int32 [n]): the last tweets that each viewer engaged with."""
    from bench.real_tasks import engaged

    who, what = engaged(task.view.engagements, task.view.tweets)
    place = np.minimum(np.searchsorted(task.viewer, who), task.viewer.size - 1)
    mine = np.flatnonzero(task.viewer[place] == who)[::-1]  # newest first
    pair = place[mine].astype(np.int64) << 32 | what[mine]
    mine = mine[np.sort(np.unique(pair, return_index=True)[1])]
    order = mine[np.argsort(place[mine], kind="stable")]
    row = place[order]
    rank = np.arange(row.size) - np.searchsorted(row, row)
    return row[rank < most].astype(np.int64), what[order][rank < most]


def _within(window_h: float) -> str:
    return "" if np.isinf(window_h) else f", tweets of {window_h:g} h"


def baselines(factors: Sequence[int] = (16, 64), windows_h: Sequence[float] = (np.inf,)) -> Models:
    """Popularity, ALS with weights of what was done from 1 to 40 (Hu, Koren & Volinsky), and item-kNN."""
    return {
        "popularity": [("all time", popularity)],
        "als": [
            (f"{count} factors, alpha {alpha:g}, penalty {penalty:g}{_within(h)}",
             partial(als, factors=count, alpha=alpha, penalty=penalty, window_h=h))
            for count in factors for alpha, penalty in ((1.0, 0.01), (10.0, 1.0), (40.0, 10.0)) for h in windows_h
        ],
        "item-kNN": [
            (f"{weighting}, {neighbours} neighbours{_within(h)}",
             partial(item_knn, neighbours=neighbours, weighting=weighting, window_h=h))
            for weighting, neighbours in (("cosine", 50), ("cosine", 500), ("bm25", 500)) for h in windows_h
        ],
    }  # fmt: skip


BASELINES = baselines()


def popular_sources(windows_h: Sequence[float]) -> Models:
    """The source `popular` beside plain popularity."""
    return {
        "popularity": [
            *BASELINES["popularity"],
            *(
                (f"tweets of {h:g} h", partial(source, stage=configured(Popular, max_age_h=h, max_results=4 * K)))
                for h in windows_h
            ),
        ]
    }


def whole_history(windows_h: Sequence[float] = (np.inf,), *, epochs: Sequence[int] = (5, 20)) -> Models:
    """What reads vectors and edges itself, and so has no limit to the age of a tweet."""
    return {
        "TwHIN, trained tweets": [
            (f"prior {prior:g}, {count} epochs{_within(h)}",
             partial(twhin_of_items, prior=prior, epochs=count, window_h=h))
            for count in epochs for prior in (0.0, 0.1, 0.3) for h in windows_h
        ],
        "SALSA from the viewer": [
            (f"length {length}{_within(h)}", partial(walks, length=length, walks=5000, window_h=h))
            for length in (3, 5) for h in windows_h
        ],
        "similar tweets": [
            (f"last {signals}, {kind}{_within(h)}",
             partial(similar_tweets, signals=signals, normaliser=kind, window_h=h))
            for kind in NORMALISERS for signals in (10, MOST_SIGNALS) for h in windows_h
        ],
    }  # fmt: skip


def tweet_sources(windows_h: Sequence[float], *, follows: bool, by: Sequence[Interests] = ("favorite",)) -> Models:
    """Sources of tweets for viewers who have engaged, with the windows that are tried; follows: use a follow graph.

    by: the kinds of InterestedIn that are tried.
    """
    return {
        "TwHIN, tweets made inductively": [
            (f"tweets of {h:g} h, follow share {share:g}",
             partial(source, assets=twhin, stage=configured(TwHINANN,
                 max_age_h=h, follow_share=share, signal=SIGNALS, max_results=4 * K, index="exact")))
            for h in windows_h for share in ((0.0, 0.5) if follows else (0.0,))
        ],
        "TwHIN, tweets made inductively, with a prior": [
            (f"tweets of {h:g} h, prior {prior:g}",
             partial(source, assets=twhin, prior=prior, stage=configured(TwHINANN,
                 max_age_h=h, follow_share=0.0, signal=SIGNALS, max_results=2000, index="exact")))
            for h in windows_h for prior in (0.1, 0.3)
        ],
        "CR-mixer": [
            (f"tweets of {h:g} h, {least} users in common, last {signals}"
             if not follows else f"tweets of {h:g} h, interests by {interests}",
             partial(source, assets=clusters if follows else None, stage=configured(CRMixer,
                 tweet_signals=MIXER_SIGNALS, producer_signals=(), interested_in=follows, interests=interests,
                 tweet_engines=("simclusters_ann", "user_tweet_graph") if follows else ("user_tweet_graph",),
                 signal=SIGNALS, max_keys=signals, min_favorites=0, min_tweet_score=0.0, min_score=0.0, min_signals=1,
                 min_interest=0.0, max_age_h=h, graph_age_h=h, min_cooccurrence=least, min_degree=1,
                 min_query_degree=1, min_graph_score=0.0, max_results=4 * K, blue_verified_first=False)))
            for h in windows_h
            for interests, least, signals in (
                ((kind, 1, MOST_SIGNALS) for kind in by) if follows
                else (("follow", least, signals) for least in (1, 3) for signals in (5, MOST_SIGNALS))
            )
        ],
        **whole_history(windows_h if follows else (np.inf,), epochs=(5,) if follows else (5, 20)),
    }  # fmt: skip


def communities_of_accounts(windows_h: Sequence[float], *, by: Sequence[Interests] = ("favorite",)) -> Models:
    """SimClusters ANN, whose communities are those of followed accounts; by: the kinds of InterestedIn."""
    return {
        "SimClusters ANN": [
            (f"tweets of {h:g} h, {score}, interests by {interests}", partial(source, assets=clusters,
                stage=configured(SimClustersANN,
                    signal=SIGNALS, interests=interests, min_signals=1, min_score=0.0, min_interest=0.0,
                    score=score, max_age_h=h, max_tweets=5000, max_results=4 * K)))
            for h in windows_h for score in CLUSTER_SCORES for interests in by
        ]
    }  # fmt: skip


def circles(windows_h: Sequence[float]) -> Models:
    """What starts from those whom the viewer follows."""
    return {
        "SALSA": [
            (f"tweets of {h:g} h, length {length}", partial(source, assets=even_weights, stage=configured(Salsa,
                graph_h=2 * h, max_age_h=h, length=length, walks=5000, max_results=4 * K)))
            for h in windows_h for length in (3, 5)
        ],
        "UTEG": [
            (f"tweets of {h:g} h", partial(source, assets=even_weights, stage=configured(UTEG,
                social_proof=SIGNALS, max_age_h=h, max_results=4 * K))) for h in windows_h
        ],
        "FRS": [
            (f"tweets of {h:g} h", partial(source, assets=with_even_lists, stage=configured(FRS,
                window_h=h, light_window_h=h, max_results=4 * K))) for h in windows_h
        ],
    }  # fmt: skip
