"""GraphJet on a million users: edges taken in, viewers answered, bytes of an edge, beside the paper and the machine.

    python -m bench.graphjet [--small] [--json]

1,000,000 users and tweets and 20,000,000 edges of two days (a tenth of each with --small), in four segments. Tweets are
engaged with in the hours after they are written; activity of users and popularity of tweets follow power laws. Figures
are of one core, from processor time, the median of some rounds; the ceilings are measured in the same run. UTEG is
asked for 100 seeds a viewer, who hold about 2,000 edges, and returns 800 tweets of 24 hours; SALSA plays 1,000 walks of
one and of three steps. The paper (Sharma et al., VLDB 2016) reports up to 1,000,000 edges/s and 500 recommendations/s
for a server of 12 cores, its service around the graph included, which ours is not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from time import process_time
from typing import TypeVar

import numpy as np

from bench.ceilings import ceilings, machine
from candidates.graphjet import edges, salsa
from candidates.graphjet.counting import second_degree
from candidates.graphjet.related import draw_keys, tweet_based
from candidates.graphjet.store import BipartiteStore
from funnel.core import rng
from funnel.core.arrays import Array, Doubles, Ints, Longs
from funnel.report import console, fields

T = TypeVar("T")
HOURS = 48.0
SEGMENTS = 4
SEEDS = 100
VIEWERS = 512
WALKS = 1000
PAPER = {"ingest_edges_per_s": 1_000_000, "recommendations_per_s": 500}
GOALS = {"uteg": 8_000, "salsa": 10_000, "ingest": 1_000_000, "bytes": 12}


def measure(*, small: bool) -> dict[str, object]:
    """All figures, by name."""
    scale = 10 if small else 1
    nodes, count = 1_000_000 // scale, 20_000_000 // scale
    log = _edges(nodes, count)
    some = tuple(column[: count // 20] for column in log)
    BipartiteStore(users=nodes, tweets=nodes).ingest(*some)  # compiles
    store, bulk = _timed(lambda: _bulk(nodes, count, log))
    _, left_only = _timed(lambda: _bulk(nodes, count, log, both_sides=False))
    _, one_by_one = _timed(lambda: _open(nodes, some))
    _, calls = _timed(lambda: _calls(nodes, tuple(column[:20_000] for column in log)))
    one_sided = _bulk(nodes, count, log, both_sides=False)
    uteg, found, read = _uteg(store, nodes)
    steps = {length: _salsa(store, nodes, length) for length in (1, 3)}
    known = ceilings()
    return {
        "machine": machine(),
        "ceilings": known,
        "users": nodes,
        "edges": count,
        "segments": store.segments,
        "ingest_bulk_edges_per_s": count / bulk,
        "ingest_bulk_by_user_only_edges_per_s": count / left_only,
        "ingest_edge_by_edge_edges_per_s": some[0].size / one_by_one,
        "ingest_python_calls_per_s": 20_000 / calls,
        "ingest_times_the_papers_server": count / bulk / PAPER["ingest_edges_per_s"],
        "bytes_per_edge": store.nbytes / count,
        "bytes_per_edge_by_user_only": one_sided.nbytes / count,
        "uteg_viewers_per_s": uteg,
        "uteg_tweets_per_viewer": found,
        "uteg_edges_per_viewer": read,
        "uteg_edges_m_s_over_random_reads": uteg * read / 1e6 / known["random_reads_m_s"],
        "uteg_times_the_papers_server": uteg / PAPER["recommendations_per_s"],
        "salsa_1_step_viewers_per_s": steps[1],
        "salsa_3_steps_viewers_per_s": steps[3],
        "salsa_steps_m_s_over_random_reads": steps[3] * WALKS * 3 / 1e6 / known["random_reads_m_s"],
        "salsa_subgraph_viewers_per_s": _salsa(store, nodes, 3, visit=salsa.on_subgraph),
        "related_tweets_queries_per_s": _related(store, nodes),
        "paper": PAPER,
        "goals": GOALS,
    }


def _edges(nodes: int, count: int) -> tuple[Ints, Ints, Array, Doubles]:
    """(user, tweet, type, time_h) in the order of time; tweet ids ascend in time, as everywhere."""
    draw = rng.stream(0, "bench of GraphJet")
    user = np.searchsorted(_power_law(nodes, 0.75), draw.random(count)).astype(np.int32)
    user = draw.permutation(nodes).astype(np.int32)[user]
    popularity = draw.permutation(nodes)[np.searchsorted(_power_law(nodes, 0.6), draw.random(count))]
    written = popularity * (HOURS / nodes)
    time_h = written + np.minimum(draw.exponential(4.0, count), HOURS - written)
    kind = np.array([edges.FAVORITE] * 7 + [edges.RETWEET] * 2 + [edges.REPLY])[draw.integers(0, 10, count)]
    order = np.argsort(time_h)
    return user[order], popularity[order].astype(np.int32), kind[order].astype(np.int8), time_h[order]


def _power_law(n: int, exponent: float) -> Doubles:
    """float64 [n]: the cumulative shares of ranks 1, 2, … with weights rank^(−exponent)."""
    total = np.cumsum(np.arange(1, n + 1, dtype=np.float64) ** -exponent)
    return np.asarray(total / total[-1])


def _bulk(nodes: int, count: int, log: tuple[Array, ...], *, both_sides: bool = True) -> BipartiteStore:
    store = BipartiteStore(users=nodes, tweets=nodes, edges_per_segment=-(-count // SEGMENTS), both_sides=both_sides)
    store.ingest(*log)
    store.read(0.0)
    return store


def _open(nodes: int, log: tuple[Array, ...]) -> BipartiteStore:
    """All edges go one after the other into the slices of the open segment."""
    store = BipartiteStore(users=nodes, tweets=nodes, edges_per_segment=log[0].size + 1)
    store.ingest(*log)
    return store


def _calls(nodes: int, log: tuple[Array, ...]) -> BipartiteStore:
    store = BipartiteStore(users=nodes, tweets=nodes)
    for user, tweet, kind, time_h in zip(*(column.tolist() for column in log), strict=True):
        store.add(user, tweet, kind, time_h)
    return store


def _circles(nodes: int) -> tuple[Ints, tuple[Longs, Ints, Array]]:
    """(viewers, seeds): 100 random users each, with weights of the range of RealGraph's."""
    draw = rng.stream(1, "bench of GraphJet")
    seeds = np.sort(draw.integers(0, nodes, (VIEWERS, SEEDS)).astype(np.int32), axis=1).ravel()
    weight = (1 + 1.97 * draw.random(seeds.size, dtype=np.float32)).astype(np.float32)
    return draw.integers(0, nodes, VIEWERS).astype(np.int32), (np.arange(VIEWERS + 1) * SEEDS, seeds, weight)


def _uteg(store: BipartiteStore, nodes: int) -> tuple[float, float, float]:
    """(viewers/s, tweets and edges a viewer) at the log's end, tweets of 24 h, by authors whom nobody follows."""
    viewer, seeds = _circles(nodes)
    offsets, user, weight = seeds
    now_h = np.full(VIEWERS, HOURS)
    window = (np.full(VIEWERS, nodes // 2, np.int64), np.full(VIEWERS, nodes, np.int64))
    author = rng.stream(2, "bench of GraphJet").integers(0, nodes, nodes).astype(np.int32)
    following = (np.zeros(nodes + 1, np.int64), np.empty(0, np.int32), np.empty(0))
    tweets = (author, np.zeros(nodes, np.bool_))

    def ask(some: int) -> tuple[Longs, Ints, Array]:
        part = (offsets[: some + 1], user[: offsets[some]], weight[: offsets[some]])
        reading = store.read(now_h[:some], window_h=HOURS)
        return second_degree(
            reading, viewer[:some], now_h[:some], part, tweets, following, (window[0][:some], window[1][:some]),
            counted=edges.kinds_mask(("favorite", "retweet", "reply")), proofs=(edges.FAVORITE,),
        )  # fmt: skip

    ask(1)
    found, took = _timed(lambda: ask(VIEWERS))
    degree = np.bincount(_users_of(store), minlength=nodes)
    return VIEWERS / took, found[1].size / VIEWERS, float(np.minimum(degree[user], 500).sum() / VIEWERS)


def _users_of(store: BipartiteStore) -> Longs:
    """int64 [E]: the user of each edge."""
    offsets = store.read(HOURS).arrays.left_offsets
    return np.repeat(np.arange(store.users), np.diff(offsets, axis=0).sum(axis=1))


def _salsa(
    store: BipartiteStore, nodes: int, length: int, *, visit: Callable[..., tuple[Longs, Ints, Array]] = salsa.walk
) -> float:
    viewer, seeds = _circles(nodes)
    now_h = np.full(VIEWERS, HOURS + 1)
    keys = draw_keys(0, "salsa", viewer, now_h)
    reading = store.read(now_h)
    _, took = _timed(lambda: visit(reading, viewer, seeds, keys, walks=WALKS, length=length))
    return VIEWERS / took


def _related(store: BipartiteStore, nodes: int) -> float:
    tweet = np.unique(store.read(HOURS).arrays.packed[:: len(store) // VIEWERS] & edges.NODE_MASK).astype(np.int32)
    now_h = np.full(tweet.size, HOURS + 1)
    window = (np.zeros(tweet.size, np.int64), np.full(tweet.size, nodes, np.int64))
    keys = draw_keys(0, "related", tweet, now_h)
    _, took = _timed(lambda: tweet_based(store.read(now_h), tweet, window, keys))
    return tweet.size / took


def _timed(work: Callable[[], T], *, rounds: int = 3) -> tuple[T, float]:
    """(what it gives, processor seconds of the median round)."""
    took, given = [], work()
    for _ in range(rounds):
        began = process_time()
        given = work()
        took.append(process_time() - began)
    return given, float(np.median(took))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="GraphJet's store and algorithms beside the machine's ceilings.")
    parser.add_argument("--small", action="store_true", help="a tenth of the graph")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = measure(small=asked.small)
    if asked.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    flat = {
        f"{name}.{part}" if part else name: number
        for name, value in figures.items()
        for part, number in (value.items() if isinstance(value, dict) else (("", value),))
    }
    console().print(fields(flat, title="GraphJet"))


if __name__ == "__main__":
    main()
